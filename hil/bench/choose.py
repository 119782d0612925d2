"""Where a board is looked for: as asked, else in this machine's lab file, else what is plugged in, else virtual."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hil.bench.discover import consoles, discovered
from hil.bench.lab import Lab, load
from hil.bench.labgrid import PREFIX, Labgrid, LabgridBench, parse
from hil.bench.local import LocalBench
from hil.bench.state import State
from hil.bench.station import DIRECT, Bench
from hil.bench.virtual import VirtualBench
from hil.board import Board
from hil.errors import BoardMissing, UsageError
from hil.flash import TITLES
from hil.paths import state_root

SYSTEM = Path("/etc/hil/lab.toml")


@dataclass(frozen=True)
class Where:
    """`bench`: auto, virtual, the path of a lab file, or labgrid:HOST:PORT. `hardware`: a virtual board will not do.

    `direct`: onto boards of the virtual bench images are not flashed but put in place.
    """

    bench: str = "auto"
    hardware: bool = False
    direct: bool = False


ANYWHERE = Where()


def lab_file() -> Path | None:
    """This machine's lab file: `$HIL_LAB`, else the user's, else the machine's; None where there is none of them."""
    if explicit := os.environ.get("HIL_LAB"):
        return Path(explicit)
    base = os.environ.get("XDG_CONFIG_HOME")
    user = (Path(base) if base else Path.home() / ".config") / "hil" / "lab.toml"
    return next((path for path in (user, SYSTEM) if path.is_file()), None)


def lab_for(where: Where) -> Lab | None:
    """The lab that is asked for, or this machine's; None for none. Raises `LabFileError`, `UsageError`."""
    if where.bench == "virtual" or labgrid_of(where) is not None:
        return None
    if where.bench != "auto":
        path = Path(where.bench)
        if not path.is_file():
            raise UsageError(
                f"--hil-bench {where.bench}: neither auto nor virtual, nor a lab file, nor labgrid:HOST:PORT",
                hint="hil lab suggest",
            )
        return load(path)
    file = lab_file()
    return None if file is None else load(file)


def labgrid_of(where: Where) -> Labgrid | None:
    """The labgrid coordinator that is asked for; None for another bench. Raises `UsageError`."""
    return parse(where.bench) if where.bench.startswith(PREFIX) else None


def bench_for(board: Board, where: Where = ANYWHERE) -> Bench:
    """Where a board of this kind can be reached. Raises `BoardMissing`, `LabFileError`, `UsageError`."""
    labgrid = labgrid_of(where)
    lab = lab_for(where)
    found = lab.of(board.name) if lab is not None else ()
    if labgrid is not None:
        bench: Bench = LabgridBench(labgrid, board.name)
    elif lab is not None and found:
        bench = LocalBench(lab, found[0].source)
    elif lab is not None and where.bench != "auto":
        raise BoardMissing(f"{lab.file} has no {board.name}", hint="hil lab suggest, or --hil-bench virtual")
    elif where.bench == "auto" and consoles() and (plugged := discovered(board.name, board.baud, State(state_root()))):
        bench = LocalBench(Lab(Path("what is plugged in"), plugged), "hardware")
    elif board.virtual is None:
        raise BoardMissing(f"no {board.name} is reachable, and there is no virtual one", hint="hil boards")
    else:
        bench = VirtualBench(direct=where.direct)
    if where.hardware and bench.source != "hardware":
        raise BoardMissing(
            f"no {board.name} of hardware is on this bench, and --hil-require-hardware takes no virtual one",
            hint="hil lab suggest",
        )
    return bench


def title(board: Board, where: Where = ANYWHERE) -> str:
    """What that bench is called where a person reads it. Raises as `bench_for` does."""
    bench = bench_for(board, where)
    if not isinstance(bench, VirtualBench) or board.virtual is None:
        return bench.title
    way = bench.way(board.name)
    how = f"flashed by {TITLES[way]}" if way != DIRECT else "images put there directly"
    return f"{bench.title}, {how}"
