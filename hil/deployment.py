"""A deployment: which model, on which boards, planned and built. Everything that can be refused is refused here."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hil import board as boards
from hil.board import Board
from hil.errors import DoesNotFit, UsageError
from hil.image.build import Image
from hil.image.build import build as build_image
from hil.model import tflite
from hil.model.graph import Graph
from hil.nodes import MOST, Objective, kind
from hil.plan import Footprint, Plan, plan
from hil.plan.kernels import KERNELS
from hil.plan.split import Node, Split, fewest, split
from hil.variant import Console, Load, check_load, image_room, in_ram, with_console
from hil.wire import Wire
from hil.wire import wire as wire_named

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
    wire: Wire | None = None
    """What the board is on, as one of several."""
    searched: Split | None = None
    """The plan with what it was searched for, where it is the planner of several boards that made one for one."""

    @property
    def graph(self) -> Graph:
        return self.plan.graph

    @property
    def board(self) -> Board:
        return self.plan.board

    @property
    def ram_predicted(self) -> int:
        return self.plan.ram_peak(self.footprint)


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
        return self.planned.ram_predicted


def model_named(path: Path) -> Graph:
    """The model in a file. Raises `UsageError` where there is none, `MalformedModel` or `UnsupportedModel`."""
    return tflite.load(path)


@dataclass(frozen=True)
class PlannedCluster:
    """A plan for several boards that fits on each: `nodes` has each node's own, in their order."""

    split: Split
    nodes: tuple[Planned, ...]

    @property
    def graph(self) -> Graph:
        return self.split.graph

    @property
    def toolchain(self) -> str:
        return self.nodes[0].toolchain

    @property
    def boards(self) -> str:
        """What its boards are called: 'rp2040', or 'rp2040*3,rp2350'."""
        return kind([node.board.name for node in self.nodes])

    @property
    def cores(self) -> int:
        return max(node.plan.cores for node in self.nodes)

    @property
    def fullest(self) -> int:
        """The node with the highest predicted peak of RAM."""
        return max(range(len(self.nodes)), key=lambda n: (self.nodes[n].ram_predicted, -n))


@dataclass(frozen=True)
class ClusterDeployment:
    """A model for several boards, as an image for each, ready to flash."""

    planned: PlannedCluster
    nodes: tuple[Deployment, ...]

    @property
    def graph(self) -> Graph:
        return self.planned.graph

    @property
    def split(self) -> Split:
        return self.planned.split


_NO_WIRE = "uart-3M"
"""For a plan of one node, which sends nothing."""


def plan_for(
    graph: Graph,
    board_name: str,
    *,
    cores: int = 1,
    objective: Objective | None = None,
    toolchain: str = "zig",
    load: Load = "flash",
    console: Console = "uart",
    say: Say = silent,
) -> Planned:
    """Plan a model for a board, and hold the plan against the board's memory.

    The firmware is built (or taken from the cache): its machine code says what code, static data and stacks take.
    An `objective` has the planner search as it does for several boards, line buffers included.
    With `load` "ram" the image shares RAM with its data.
    Raises `DoesNotFit` with the fewest boards that do in its hint.
    """
    board = with_console(boards.load(board_name), console)
    check_load(board, load)
    _check_cores(board, cores)
    say(f"planning {graph.name} for {board.name}")
    searched = None
    try:
        if objective is None:
            made = plan(graph, board, cores=cores)
        else:
            searched = split(graph, [Node(board, cores, None)], wire_named(_NO_WIRE), objective=objective, say=say)
            made = searched.plans[0]
        made.check_fit(Footprint(0, 0, ()))  # what can never fit is refused before anything is built
        say(f"building firmware for {board.name}")
        footprint = _footprint(made, toolchain, say)
        made.check_fit(footprint)
    except DoesNotFit as error:
        if board.default_wire is not None:
            advise(error, graph, [Node(board, cores, None)], wire_of([board], None), say=say)
        raise
    if load == "ram":
        made = _into_ram(made, footprint)
    return Planned(made, footprint, toolchain, searched=searched)


def _into_ram(made: Plan, footprint: Footprint) -> Plan:
    """The plan for a board whose image lies in RAM. Raises `DoesNotFit` with the numbers."""
    board, program = made.board, len(made.program.data)
    room = image_room(footprint.flash_code, program)
    need = room + footprint.ram_static + made.arena_bytes
    if need > board.ram.bytes:
        raise DoesNotFit(
            f"{made.graph.name} cannot be loaded into the RAM of {board.name}: it needs {need} bytes, "
            f"{board.ram.bytes} are available ({footprint.flash_code} for code, {program} for the program, "
            f"{made.arena_bytes} for tensors, {footprint.ram_static} static)",
            needed=need,
            available=board.ram.bytes,
            operator=made.tightest.operator,
            tensor=made.tightest.tensor,
            hint="--load flash",
        )
    return replace(made, board=in_ram(board, room))


def plan_cluster_for(
    graph: Graph,
    names: Sequence[str],
    *,
    cores: int = 1,
    link: str | None = None,
    objective: Objective = "latency",
    toolchain: str = "zig",
    say: Say = silent,
) -> PlannedCluster:
    """Plan a model for several boards, one name for each node, and hold the plan against the memory of each.

    `link` names the wire between them; None is the default of the boards.
    Raises `DoesNotFit` with the tightest node, and in its hint the smallest number of such boards that works.
    """
    kinds = {name: boards.load(name) for name in names}
    wire = wire_of(list(kinds.values()), link)
    for board in kinds.values():
        _check_cores(board, cores)
    say(f"planning {graph.name} for {len(names)} nodes: {kind(names)}")
    room = {
        name: Node(board, cores, _most(board, cores, wire=wire, nodes=len(names), toolchain=toolchain, say=say))
        for name, board in kinds.items()
    }
    try:
        found = split(graph, [room[name] for name in names], wire, objective=objective, say=say)
        return planned_cluster(found, toolchain=toolchain, say=say)
    except DoesNotFit as error:
        advise(error, graph, [room[name] for name in names], wire, say=say)
        raise


def planned_cluster(found: Split, *, toolchain: str = "zig", say: Say = silent) -> PlannedCluster:
    """A split with what the firmware takes of each of its boards. Raises `DoesNotFit`."""
    parts = tuple(
        Planned(made, _footprint(made, toolchain, say, wire=found.wire, nodes=made.nodes), toolchain, found.wire)
        for made in found.plans
    )
    for part in parts:
        part.plan.check_fit(part.footprint)
    return PlannedCluster(found, parts)


def advise(error: DoesNotFit, graph: Graph, nodes: Sequence[Node], wire: Wire, *, say: Say = silent) -> None:
    """Tell in the error what to do about a model that does not fit on `nodes`: how many such boards hold it."""
    error.nodes = count = fewest(graph, nodes, wire, MOST, say=say)
    if count is None:
        error.hint = f"no cluster of up to {MOST} such boards holds it: a smaller model, or boards with more memory"
    elif count == len(nodes):
        error.hint = "--objective ram, which computes row by row: so it fits"
    else:
        boards_of = shlex.quote(kind([node.board.name for node in [*nodes, *[nodes[-1]] * (count - len(nodes))]]))
        error.hint = f"--board {boards_of} --nodes {count}, the fewest on which it fits"


def wire_of(kinds: Sequence[Board], link: str | None) -> Wire:
    """The wire between boards of these kinds: the one named, or the default of the first. Raises `UsageError`."""
    name = link or kinds[0].default_wire
    if name is None:
        raise UsageError(f"{kinds[0].name} has no network port: it cannot be a node of a cluster", hint="hil boards")
    found = wire_named(name)
    for board in kinds:
        if found.port not in board.network:
            ports = ", ".join(board.network) or "none"
            raise UsageError(f"--link {name}: {board.name} has no {found.port} network port; it has: {ports}")
    return found


def _most(board: Board, cores: int, *, wire: Wire, nodes: int, toolchain: str, say: Say) -> Footprint:
    """What firmware with a network takes at most, whichever kernels the plan will use."""
    say(f"building firmware for {board.name} on {wire.name}")
    bare = build_image(board, b"", toolchain=toolchain, progress=say, network=wire, nodes=nodes)
    return Footprint(bare.code, bare.static_ram, tuple(bare.stack_bound([], core=core).bytes for core in range(cores)))


def _footprint(made: Plan, toolchain: str, say: Say, *, wire: Wire | None = None, nodes: int = 1) -> Footprint:
    """What the firmware takes, read off its machine code, linked without a program."""
    bare = build_image(made.board, b"", toolchain=toolchain, progress=say, network=wire, nodes=nodes)
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
    plan = planned.plan
    image = build_image(
        planned.board, plan.program.data, toolchain=planned.toolchain, progress=say,
        network=planned.wire, nodes=plan.program.nodes,
    )  # fmt: skip
    return Deployment(planned, image)


def build_cluster(planned: PlannedCluster, *, say: Say = silent) -> ClusterDeployment:
    """Link every node's program into the firmware of its board, side by side."""
    with ThreadPoolExecutor(max_workers=len(planned.nodes)) as pool:
        return ClusterDeployment(planned, tuple(pool.map(lambda node: build(node, say=say), planned.nodes)))


def _check_cores(board: Board, cores: int) -> None:
    if cores < 1 or cores > board.cores:
        raise UsageError(f"--cores {cores}: {board.name} has {board.cores} cores", hint=f"--cores {board.cores}")


Tensors = tuple[npt.NDArray[np.generic], ...]
"""One value for each of a model's inputs, or outputs, in order."""
