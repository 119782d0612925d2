"""`hil flash`: build an image, put it on a board with the tool that people use for it, and see that it answers."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from hil import api
from hil import board as boards
from hil import flash as flashing
from hil.bench.virtual import VirtualStation
from hil.board import Board
from hil.deployment import Deployment, Say
from hil.dut import connected
from hil.errors import BoardMissing, HilError, UsageError
from hil.flash import Flashed
from hil.flash.rtt import RttConsole
from hil.flash.together import Order, flash_together
from hil.report import Outcome, table

TEXT = "build an image and put it on a board, with pyOCD, with esptool or as a UF2 file"
_DRIVE_LIMIT = 10.0


def options(sub: argparse.ArgumentParser) -> None:
    """Add what `hil flash` alone takes."""
    where = (
        "pyOCD: a probe's id; esptool: a serial port; UF2: that, or a drive's folder; picotool: a serial number on USB "
        "(default: a virtual board); repeatable: side by side"
    )
    sub.add_argument("--on", metavar="WHERE", action="append", help=where)
    sub.add_argument("--ram", dest="load", action="store_const", const="ram", help="short for --load ram")
    sub.add_argument("--tool", choices=flashing.tools(), help="what to flash with (default: the board's first)")


def run(request: api.Request, args: argparse.Namespace, say: Say) -> Outcome:
    """The record and what a person sees. Raises what building and flashing raise."""
    if request.split:
        raise UsageError("hil flash puts an image on one board", hint="--nodes 1")
    flashing.prepare(args.tool or next(iter(boards.load(request.board).flash_tools), ""))
    deployment = api.prepare(args.model, request, say=say)
    if len(args.on or ()) > 1:
        return _several(deployment, args.on, args.tool, say)
    if args.on:
        (where,), answers = args.on, None
        flashed = flashing.flash(where, deployment.image, deployment.board, args.tool, say)
    else:
        flashed = _on_virtual(deployment, args.tool, say)
        where, answers = f"virtual {deployment.board.name}", True
    record = {**_record(deployment), "where": where, "answers": answers, **_plain(flashed)}
    return Outcome(record, _views(flashed, where, answers=answers))


def _several(deployment: Deployment, targets: Sequence[str], tool: str | None, say: Say) -> Outcome:
    """Several boards of a kind side by side; the exit status is that of one that failed, if any did."""
    if len(set(targets)) < len(targets):
        raise UsageError("--on names a board twice")

    def progress(text: str) -> None:
        say(f"{len(targets)} boards; {text}")

    flashing.flasher(targets[0], deployment.board, tool)  # what is wrong with all of them is said once
    orders = [Order(target, deployment.image, deployment.board) for target in targets]
    results = list(zip(targets, flash_together(orders, tool, progress), strict=True))
    failed = [found for _, found in results if isinstance(found, HilError)]
    rows = [_row(target, found) for target, found in results]
    record = {
        **_record(deployment),
        "boards": [
            {"where": target, **({"error": str(found)} if isinstance(found, HilError) else _plain(found))}
            for target, found in results
        ],
    }
    closing = f"{len(results) - len(failed)} of {len(results)} boards flashed and verified"
    views: list[RenderableType] = [table(None, ["board", "written", "seconds", "is"], rows), Text(closing)]
    return Outcome(record, views, failed[0].exit_status if failed else 0)


def _row(target: str, found: Flashed | HilError) -> tuple[str, ...]:
    if isinstance(found, HilError):
        return target, "-", "-", str(found)
    how = "verified" if found.verified else "not read back"
    return target, f"{found.bytes_written} of {found.bytes} bytes", f"{found.seconds:.1f}", how


def _record(deployment: Deployment) -> dict[str, Any]:
    return {
        "schema": "hil.flash/1",
        "model": deployment.graph.name,
        "board": deployment.board.name,
        "build": deployment.image.build_id,
    }


def _plain(flashed: Flashed) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in vars(flashed).items()}


def _views(flashed: Flashed, where: str, *, answers: bool | None) -> list[RenderableType]:
    rows = [
        ("where", where),
        ("tool", flashed.tool),
        ("image", f"{flashed.bytes} bytes"),
        ("written", f"{flashed.bytes_written} bytes in {flashed.seconds:.1f} s"),
        ("verified", "every byte" if flashed.verified else "no"),
        ("log", str(flashed.log)),
    ]
    closing = "it answers as the build that was flashed" if answers else "hil profile tells whether it computes right"
    return [table(None, ["", ""], rows), Text(closing)]


def _on_virtual(deployment: Deployment, tool: str | None, say: Say) -> Flashed:
    """Flash a new virtual board, whose flash is erased, and ask it who it is."""
    with erased(deployment.board, tool) as (board, target):
        flashed = flashing.flash(target, deployment.image, deployment.board, tool, say)
        say("asking the board who it is")
        with ExitStack() as held:
            url = None
            if deployment.image.rtt is not None:
                url = held.enter_context(RttConsole(f"hil:{board.debug_port}", deployment.image, deployment.board)).url
            held.enter_context(connected(deployment, VirtualStation(deployment.board.name, board, url=url)))
            return flashed


@contextmanager
def erased(board: Board, tool: str | None) -> Iterator[tuple[Any, str]]:
    """A virtual board with erased flash, and the target that `tool` knows it by. Raises `UsageError` if it has none."""
    from hil import virtual  # noqa: PLC0415  not needed for a board that is there

    known = [name for name in board.flash_tools if tool is None or name == tool]
    if board.virtual is None or not known:
        raise UsageError(f"no virtual {board.name} can be flashed{f' with {tool}' if tool else ''}", hint="hil boards")
    if known[0] != "uf2":
        with virtual.start(board.name) as machine:
            probe = machine.debug_port and f"hil:{machine.debug_port}"
            target = {"esptool": machine.loader, "pyocd": probe}.get(known[0])
            if target is None:
                raise UsageError(f"the virtual {board.name} has no port for {known[0]}")
            yield machine, target
        return
    with tempfile.TemporaryDirectory(prefix="hil-") as folder:
        drive = Path(folder) / board.flash_tools["uf2"]
        with virtual.start(board.name, usb=drive) as machine:
            _await(drive, board)
            yield machine, str(drive)


def _await(drive: Path, board: Board) -> None:
    end = time.monotonic() + _DRIVE_LIMIT
    while not (drive / "INFO_UF2.TXT").is_file():
        if time.monotonic() > end:
            raise BoardMissing(f"the drive of the virtual {board.name} did not appear in {_DRIVE_LIMIT:g} s")
        time.sleep(0.01)
