"""`hil debug`: a look at a board through its probe, and reset and halt."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.text import Text

from hil import board as boards
from hil.deployment import Say
from hil.flash import debugger
from hil.flash.debug import MOST_BYTES, CoreState, Debugger, where
from hil.image.elf import Elf
from hil.report import Outcome, plain

_ROW = 16


def add_command(commands: Any) -> None:
    """`hil debug` and its four words."""
    text = "look at a board through its debug probe: registers, memory; reset and halt it"
    debug = commands.add_parser("debug", help=text, description=text[0].upper() + text[1:] + ".")
    words = debug.add_subparsers(dest="word", required=True, metavar="WORD")
    for name, run, what in (
        ("registers", _registers, "where the cores are: each is stopped for a moment, and goes on"),
        ("read", _read, "memory, while the cores run"),
        ("reset", _reset, "start the firmware anew"),
        ("halt", _halt, "stop the cores until the next reset"),
    ):
        sub = words.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        sub.add_argument("--json", metavar="PATH", help="write the result as JSON; '-' is standard output, alone on it")
        sub.add_argument("--board", required=True, metavar="BOARD", help="the board's kind ('hil boards' lists them)")
        sub.add_argument("--on", required=True, metavar="PROBE", help="the unique id of its probe ('pyocd list')")
        if name == "registers":
            sub.add_argument("--elf", type=Path, metavar="FILE", help="what it runs, to name addresses ('hil build')")
        if name == "read":
            sub.add_argument("address", type=_number, metavar="ADDRESS", help="such as 0x20000000")
            sub.add_argument("length", type=_number, metavar="LENGTH", help=f"bytes, at most {MOST_BYTES}")
        sub.set_defaults(run=run)


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _registers(args: argparse.Namespace, say: Say) -> Outcome:
    symbolize = Elf(args.elf).symbolize if args.elf is not None else "{:#010x}".format
    found: list[CoreState] = []
    record = _debugged(args, say, lambda on: found.extend(on.registers()))
    cores = [
        {**vars(core), "faults": dict(core.faults), "exception": core.exception, "at": symbolize(core.pc)}
        for core in found
    ]
    return Outcome({**record, "cores": cores}, [Text(plain(where(found, symbolize)))])


def _read(args: argparse.Namespace, say: Say) -> Outcome:
    found = bytearray()
    record = _debugged(args, say, lambda on: found.extend(on.read(args.address, args.length)))
    record = {**record, "address": args.address, "data": found.hex()}
    return Outcome(record, [Text("\n".join(_dump(args.address, bytes(found))))])


def _dump(address: int, data: bytes) -> Iterator[str]:
    for at in range(0, len(data), _ROW):
        row = data[at : at + _ROW]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"{address + at:08x}  {row.hex(' '):<{3 * _ROW - 1}}  {text}"


def _reset(args: argparse.Namespace, say: Say) -> Outcome:
    return Outcome(_debugged(args, say, lambda on: on.reset()), [Text("it starts anew")])


def _halt(args: argparse.Namespace, say: Say) -> Outcome:
    record = _debugged(args, say, lambda on: on.halt())
    return Outcome(record, [Text(f"halted; it goes on with: hil debug reset --board {args.board} --on {args.on}")])


def _debugged(args: argparse.Namespace, say: Say, act: Callable[[Debugger], object]) -> dict[str, Any]:
    """Do it, and begin the record."""
    say(f"pyOCD: {args.board} at {args.on}")
    with debugger(args.on, boards.load(args.board)) as on:
        act(on)
    return {"schema": "hil.debug/1", "did": args.word, "board": args.board, "probe": args.on}
