"""A deployment: which model, on which board, planned and built. Everything that can be refused is refused here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hil import board as boards
from hil.board import Board
from hil.errors import UsageError
from hil.image.build import Image
from hil.image.build import build as build_image
from hil.model import tflite
from hil.model.graph import Graph
from hil.plan import Footprint, Plan, plan
from hil.plan.kernels import KERNELS

Say = Callable[[str], None]
"""Told what is being done now, for progress: 'building firmware for rp2040'."""


def silent(_: str) -> None:
    """A `Say` that says nothing."""


@dataclass(frozen=True)
class Planned:
    """A plan that fits, with what the firmware takes that it will be linked to."""

    plan: Plan
    footprint: Footprint
    toolchain: str

    @property
    def graph(self) -> Graph:
        return self.plan.graph

    @property
    def board(self) -> Board:
        return self.plan.board


@dataclass(frozen=True)
class Deployment:
    """A planned model as an image, ready to flash."""

    planned: Planned
    image: Image

    @property
    def plan(self) -> Plan:
        return self.planned.plan

    @property
    def graph(self) -> Graph:
        return self.planned.plan.graph

    @property
    def board(self) -> Board:
        return self.planned.plan.board

    @property
    def ram_predicted(self) -> int:
        return self.plan.ram_peak(self.planned.footprint)


def model_named(path: Path) -> Graph:
    """The model in a file. Raises `UsageError` where there is none, `MalformedModel` or `UnsupportedModel`."""
    return tflite.load(path)


def plan_for(
    graph: Graph, board_name: str, *, cores: int = 1, nodes: int = 1, toolchain: str = "zig", say: Say = silent
) -> Planned:
    """Plan a model for a board, and hold the plan against the board's memory.

    The firmware is built (or taken from the cache): its machine code says what code, static data and stacks take.
    """
    board = boards.load(board_name)
    _check_counts(board, cores, nodes)
    say(f"planning {graph.name} for {board.name}")
    made = plan(graph, board, cores=cores)
    made.check_fit(Footprint(0, 0, ()))  # what can never fit is refused before anything is built
    say(f"building firmware for {board.name}")
    footprint = _footprint(made, toolchain, say)
    made.check_fit(footprint)
    return Planned(made, footprint, toolchain)


def _footprint(made: Plan, toolchain: str, say: Say) -> Footprint:
    """What the firmware takes, read off its machine code, linked without a program."""
    bare = build_image(made.board, b"", toolchain=toolchain, progress=say)
    known = {record.NAME for record in KERNELS.values()}

    def bound(core: int) -> int:
        # Core 0 loads the program, which checks every kernel of it; the others only run their own.
        unused = [f"hil_run_{name}" for name in known - made.kernels_of(core)]
        unused += [f"hil_check_{name}" for name in known - made.kernels] + sorted(made.idle)
        return bare.stack_bound(unused, core=core).bytes

    stacks = tuple(map(bound, range(made.cores)))
    return Footprint(bare.code, bare.static_ram, stacks)


def build(planned: Planned, *, say: Say = silent) -> Deployment:
    """Link the program into the firmware; cached by content."""
    say(f"linking {planned.graph.name} for {planned.board.name}")
    image = build_image(planned.board, planned.plan.program.data, toolchain=planned.toolchain, progress=say)
    return Deployment(planned, image)


def _check_counts(board: Board, cores: int, nodes: int) -> None:
    if cores < 1 or cores > board.cores:
        raise UsageError(f"--cores {cores}: {board.name} has {board.cores} cores", hint=f"--cores {board.cores}")
    if nodes != 1:
        raise UsageError(f"--nodes {nodes}: this version plans for one board only", hint="--nodes 1")


Tensors = tuple[npt.NDArray[np.generic], ...]
"""One value for each of a model's inputs, or outputs, in order."""
