"""`hil monitor`: what a board sends on its console, as it comes; nothing is sent to it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hil import board as boards
from hil.bench.choose import Where, lab_for
from hil.bench.hands import hands_for
from hil.bench.local import state_of
from hil.bench.ports import usb_ports
from hil.bench.state import State
from hil.cli_numbers import count
from hil.deployment import Say
from hil.errors import BoardBusy, UsageError
from hil.link.monitor import Lines
from hil.link.transport import open_url
from hil.report import Outcome, plain

_BAUD = 115200
_CHUNK = 4096
_LOOK = 0.2
_MOST = 100_000
"""Lines that are kept for the record."""


@dataclass(frozen=True)
class _Console:
    port: str
    baud: int
    identity: str
    kind: str


def add_command(commands: Any) -> None:
    """`hil monitor`."""
    text = "show what a board sends on its console, until Ctrl-C; nothing is sent to it"
    sub = commands.add_parser("monitor", help=text, description=text[0].upper() + text[1:] + ".")
    sub.add_argument("where", metavar="WHERE", help="a board's name in the lab file, a serial port, or its URL")
    sub.add_argument("--board", metavar="BOARD", help=f"its kind, whose baud rate is taken (default: {_BAUD} baud)")
    sub.add_argument("--baud", type=count(300), metavar="N", help="another baud rate")
    sub.add_argument("--seconds", type=count(1), metavar="N", help="end after so many")
    sub.add_argument("--bench", default="auto", metavar="PATH", help="the lab file (default: this machine's)")
    sub.add_argument("--json", metavar="PATH", help="write the lines as JSON; '-' is standard output, alone on it")
    sub.set_defaults(run=_monitor)


def _monitor(args: argparse.Namespace, say: Say) -> Outcome:
    console = _console(args)
    lines: list[tuple[float, str]] = []

    def show(at: float, line: str) -> None:
        if len(lines) < _MOST:
            lines.append((at, line))
        if args.json != "-":
            say("")
            sys.stdout.write(f"{at:9.3f}  {plain(line)}\n")
            sys.stdout.flush()

    with _leased(console, State(state_of(lab_for(Where(args.bench))))):
        _listen(console, args.seconds, show)
    record = {
        "schema": "hil.monitor/1",
        "port": console.port,
        "baud": console.baud,
        "lines": [{"seconds": round(at, 3), "text": line} for at, line in lines],
    }
    return Outcome(record, [])


def _console(args: argparse.Namespace) -> _Console:
    """The console that is meant. Raises `UsageError`, and `BoardMissing` for a board of the lab that is not there."""
    lab = lab_for(Where(args.bench))
    known = {board.name: board for board in lab.boards} if lab is not None else {}
    if args.where in known:
        board = known[args.where]
        return _Console(hands_for(board).port(), args.baud or board.baud, board.identity, board.kind)
    if "://" not in args.where and not os.path.exists(args.where):
        there = ", ".join([*known, *(port.device for port in usb_ports())]) or "none"
        raise UsageError(
            f"{args.where!r} is neither a board of the lab nor a port; there are: {there}", hint="hil boards"
        )
    kind = boards.load(args.board) if args.board else None
    baud = args.baud or (kind.baud if kind else _BAUD)
    return _Console(args.where, baud, f"port {args.where}", kind.name if kind else "")


@contextmanager
def _leased(console: _Console, state: State) -> Iterator[None]:
    """The board is ours while we listen: two listeners would each get half. Raises `BoardBusy`."""
    handle = state.try_lease(console.identity, console.kind)
    if handle is None:
        raise BoardBusy(f"{console.port} is held by {state.holder(console.identity)}", hint="hil boards")
    try:
        yield
    finally:
        os.close(handle)


def _listen(console: _Console, seconds: int | None, show: Callable[[float, str], None]) -> None:
    """Show lines until the time is over, or Ctrl-C. Raises `LinkLost` when the board is gone."""
    transport = open_url(console.port, console.baud)
    found, began = Lines(), time.monotonic()
    try:
        while seconds is None or time.monotonic() - began < seconds:
            data = transport.read(_CHUNK, _LOOK)
            for line in found.feed(data) if data else found.rest():
                show(time.monotonic() - began, line)
    except KeyboardInterrupt:
        pass
    finally:
        for line in found.rest():
            show(time.monotonic() - began, line)
        transport.close()
