"""`hil lab`: a first lab file from what is plugged in, a look at one, and letting boards go that were set aside."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from hil.bench import discover, labgrid
from hil.bench.choose import Where, lab_for, labgrid_of
from hil.bench.hands import Say, hands_for
from hil.bench.lab import Lab, LabBoard
from hil.bench.local import state_of
from hil.bench.ports import check_allowed
from hil.bench.state import State
from hil.errors import HilError, UsageError
from hil.report import Outcome, plain, table


def add_options(sub: argparse.ArgumentParser) -> None:
    """`--bench` and `--require-hardware`, as pytest's `--hil-bench` and `--hil-require-hardware`."""
    sub.add_argument(
        "--bench",
        default="auto",
        metavar="WHERE",
        help="auto, virtual, the path of a lab file, or labgrid:HOST:PORT[,TAG=VALUE][,wait=SECONDS] (default: auto)",
    )
    sub.add_argument("--require-hardware", action="store_true", help="fail where only a virtual board can be reached")
    flash = "how images come onto virtual boards: by the tool that flashes such boards (default), or put there directly"
    sub.add_argument("--flash", choices=("tool", "direct"), default="tool", help=flash)


def where_of(args: argparse.Namespace) -> Where:
    """Where the options look for boards."""
    return Where(args.bench, args.require_hardware, args.flash == "direct")


def add_command(commands: Any) -> None:
    """`hil lab` and its three words."""
    text = "lab files: suggest one from what is plugged in, check one, release boards that were set aside"
    lab = commands.add_parser("lab", help=text, description=text[0].upper() + text[1:] + ".")
    words = lab.add_subparsers(dest="word", required=True, metavar="WORD")
    for name, run, what in (
        ("suggest", _suggest, "print a first lab file from what is plugged in"),
        ("check", _check, "read the lab file, and look whether each of its boards is there"),
        ("release", _release, "let boards be used again that were set aside"),
    ):
        sub = words.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        sub.add_argument("--json", metavar="PATH", help="write the result as JSON; '-' is standard output, alone on it")
        if name != "suggest":
            sub.add_argument(
                "--bench",
                default="auto",
                metavar="PATH",
                help="the lab file (default: this machine's), or labgrid:HOST:PORT for release",
            )
        if name == "release":
            sub.add_argument("names", nargs="+", metavar="BOARD", help="a board's name in the lab file")
        sub.set_defaults(run=run)


def _suggest(_args: argparse.Namespace, say: Say) -> Outcome:
    ports = discover.consoles()
    kinds = []
    for port in ports:
        say(f"asking {port.device}")
        kinds.append(discover.ask(port))
    say("looking for debug probes")
    probes = discover.probes()
    drives = discover.drives()
    text = discover.suggestion(ports, kinds, probes)
    record = {
        "schema": "hil.lab.suggest/1",
        "ports": [vars(port) | {"kind": kind} for port, kind in zip(ports, kinds, strict=True)],
        "probes": [{"id": probe, "what": what} for probe, what in probes],
        "drives": [{"folder": str(drive.folder), "kind": drive.kind, "board_id": drive.board_id} for drive in drives],
        "lab": text,
    }
    notes = [f"# {drive.folder}: a board that waits for a UF2 ({drive.board_id})" for drive in drives]
    if not ports:
        notes.append("# no port of a known serial bridge or debug probe is plugged in")
    lines = plain("\n".join([text.rstrip(), *notes]))
    return Outcome(record, [lines])


def _lab(args: argparse.Namespace) -> Lab:
    where = Where(args.bench)
    lab = lab_for(where)
    if lab is None and labgrid_of(where) is not None:
        raise UsageError(f"{args.bench} has places, not a lab file", hint=f"hil boards --bench {args.bench}")
    if lab is None:
        raise UsageError("there is no lab file on this machine", hint="hil lab suggest > ~/.config/hil/lab.toml")
    return lab


def _check(args: argparse.Namespace, say: Say) -> Outcome:
    lab = _lab(args)
    state = State(state_of(lab))
    found = []
    for board in lab.boards:
        say(f"looking for {board.name}")
        found.append(_seen(board, state))
    bad = [row for row in found if row["problem"]]
    rows = [(row["name"], row["kind"], row["port"] or "-", row["problem"] or "there") for row in found]
    closing = f"{lab.file}: {len(found)} board{'s' * (len(found) != 1)}, {len(found) - len(bad)} well and there"
    views: list[RenderableType] = [table(None, ["board", "kind", "port", "is"], rows), Text(closing)]
    record = {"schema": "hil.lab.check/1", "file": str(lab.file), "state": str(state.folder), "boards": found}
    return Outcome(record, views, 4 if bad else 0)


def _seen(board: LabBoard, state: State) -> Mapping[str, Any]:
    """Whether a board's port is there and may be opened; nothing is sent to it."""
    port, problem = None, ""
    try:
        port = hands_for(board).port()
        check_allowed(board, port)
    except HilError as error:
        problem = str(error)
    aside = state.quarantined(board.identity)
    if aside is not None and not problem:
        problem = f"set aside: {aside.reason}\n  next: hil lab release {board.name}"
    return {"name": board.name, "kind": board.kind, "identity": board.identity, "port": port, "problem": problem}


def _release(args: argparse.Namespace, _say: Say) -> Outcome:
    if (where := labgrid_of(Where(args.bench))) is not None:
        released = [(name, labgrid.release(where, name)) for name in args.names]
    else:
        lab = _lab(args)
        state = State(state_of(lab))
        chosen = [lab.named(name) for name in args.names]
        released = [(board.name, state.release(board.identity)) for board in chosen]
    lines = [f"{name}: {'released' if was else 'was not set aside'}" for name, was in released]
    record = {"schema": "hil.lab.release/1", "released": [name for name, was in released if was]}
    return Outcome(record, [Text("\n".join(lines))])
