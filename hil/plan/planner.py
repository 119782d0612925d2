"""From a graph to a plan: what runs, where every tensor lives, what it needs. Decided before anything is flashed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hil.board import Board
from hil.errors import BoardFileError, DoesNotFit, UnsupportedModel
from hil.model.graph import Graph
from hil.plan.lower import Job, Lowered, lower
from hil.plan.memory import Layout, allocate
from hil.plan.occupancy import UNKNOWN, Occupancy, of_layout
from hil.plan.pieces import Piece
from hil.plan.program import Program, Span, Step, encode
from hil.plan.records import Act, Box, Record, Work
from hil.plan.schedule import Schedule, schedule


@dataclass(frozen=True)
class Footprint:
    """What the firmware itself takes, in bytes: known from its machine code, measured by nobody.

    `stacks` is the worst depth of each core's stack for the kernels that the program uses.
    """

    flash_code: int
    ram_static: int
    stacks: tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A tensor of the graph that can be read in `span` once `steps` steps have run (and before any further one)."""

    tensor: int
    operator: int
    steps: int
    span: Span


@dataclass(frozen=True)
class Tightest:
    """The operator during which most bytes are alive, and its output tensor."""

    operator: str
    tensor: str
    live: int


@dataclass(frozen=True)
class Part:
    """The steps [first, end) of one graph operator, the meeting before it included.

    `whole` and `slowest` are predicted cycles: of one core alone, and of the core with most to do.
    """

    operator: int
    first: int
    end: int
    whole: float
    slowest: float

    @property
    def bound(self) -> float:
        """The speed-up over one core that the tiling allows at most."""
        return self.whole / self.slowest if self.slowest else 1.0


@dataclass(frozen=True)
class Plan:
    """One node's part of a deployment of a graph: the program and what it is predicted to need."""

    graph: Graph
    board: Board
    cores: int
    program: Program
    kernels: frozenset[str]
    idle: frozenset[str]
    """C functions of these kernels that the program never calls."""
    operators: tuple[int, ...]
    layers: tuple[Layer, ...]
    parts: tuple[Part, ...]
    tightest: Tightest
    macs: int
    cycles: int
    node: int = 0
    nodes: int = 1
    pieces: tuple[Piece, ...] = ()
    """What the host writes to this node of several, one for each of the program's inputs; the whole inputs of one."""
    bytes_sent: int = 0
    bytes_received: int = 0
    occupancy: Occupancy = UNKNOWN

    @property
    def arena_bytes(self) -> int:
        return self.program.arena_bytes

    @property
    def bound(self) -> float:
        """The speed-up over one core that the tiling of all operators allows at most."""
        slowest = sum(part.slowest for part in self.parts)
        return sum(part.whole for part in self.parts) / slowest if slowest else 1.0

    def kernels_of(self, core: int) -> frozenset[str]:
        """Names of the kernels that a core runs."""
        steps = [step for step in self.program.steps if isinstance(step, Step) and step.core == core]
        return frozenset(self.program.operators[step.operator].NAME for step in steps)

    def ram_peak(self, footprint: Footprint) -> int:
        """Predicted peak RAM: static data, arena, and the worst stack of every core in use."""
        return footprint.ram_static + self.arena_bytes + sum(footprint.stacks)

    def check_fit(self, footprint: Footprint) -> None:
        """Raise `DoesNotFit` with the numbers unless RAM and flash suffice."""
        board, tight = self.board, self.tightest
        need_ram = footprint.ram_static + self.arena_bytes
        need_flash = footprint.flash_code + len(self.program.data)
        name = self.graph.name
        # Before anything is built nothing is known of the firmware: then the model is too large all by itself.
        static = f", {footprint.ram_static} static" if footprint.ram_static else " alone"
        code = f", {footprint.flash_code} for code" if footprint.flash_code else " alone"
        if need_ram > board.ram.bytes:
            raise DoesNotFit(
                f"{name} does not fit on {board.name}: it needs {need_ram} bytes of RAM, {board.ram.bytes} are "
                f"available ({self.arena_bytes} for tensors{static}); "
                f"the peak is at {tight.operator}, output {tight.tensor}, with {tight.live} bytes alive",
                needed=need_ram,
                available=board.ram.bytes,
                operator=tight.operator,
                tensor=tight.tensor,
            )
        if need_flash > board.flash.bytes:
            raise DoesNotFit(
                f"{name} does not fit on {board.name}: it needs {need_flash} bytes of flash, {board.flash.bytes} are "
                f"available ({len(self.program.data)} for the program{code}); "
                f"the peak of RAM is at {tight.operator}, output {tight.tensor}",
                needed=need_flash,
                available=board.flash.bytes,
                operator=tight.operator,
                tensor=tight.tensor,
            )
        for core, depth in enumerate(footprint.stacks):
            if depth > board.stack_per_core:
                raise DoesNotFit(
                    f"{name} on {board.name}: core {core}'s stack needs {depth} bytes, {board.stack_per_core} are "
                    f"available",
                    needed=depth,
                    available=board.stack_per_core,
                    operator=tight.operator,
                    tensor=tight.tensor,
                )


def plan(graph: Graph, board: Board, *, cores: int = 1, in_place: bool = True) -> Plan:
    """Plan `graph` for `cores` cores of one `board`. Raises `UnsupportedModel` or `MalformedModel`."""
    lowered = lower(graph)
    layout = allocate(graph, lowered, in_place=in_place)
    _check_edges(graph, layout)
    records = [job.record.placed(layout.place) for job in lowered.jobs]
    for record in records:
        check_cost(board, record.COST)
    timed = schedule(graph, lowered.jobs, records, layout, board=board, cores=cores)
    program = encode(
        records, timed.steps, _spans(graph, layout, graph.inputs), _spans(graph, layout, graph.outputs),
        arena_bytes=layout.arena_bytes, cores=cores,
    )  # fmt: skip
    return Plan(
        graph=graph,
        board=board,
        cores=cores,
        program=program,
        kernels=frozenset(record.NAME for record in records),
        idle=idle_functions(records),
        operators=tuple(job.operator for job in lowered.jobs),
        layers=_layers(graph, lowered, layout, timed.ends),
        parts=_parts(lowered.jobs, timed),
        tightest=_tightest(graph, lowered.jobs, layout),
        macs=weighted_macs((record, record.extent().whole()) for record in records),
        cycles=round(timed.cycles + board.run_cost),
        occupancy=of_layout(graph, lowered.jobs, layout),
    )


def idle_functions(records: Sequence[Record]) -> frozenset[str]:
    """Functions that none of a kernel's records calls."""
    by_kernel: dict[str, frozenset[str]] = {}
    for record in records:
        by_kernel[record.NAME] = by_kernel.get(record.NAME, record.idle()) & record.idle()
    return frozenset().union(*by_kernel.values())


_WEIGHTED = {"conv", "conv_partial", "depthwise"}
"""Kernels whose work is multiply-accumulates with weights: what a model's MACs are counted by."""


def weighted_macs(calls: Iterable[tuple[Record, Box]]) -> int:
    """Multiply-accumulates with weights of these boxes."""
    return sum(record.work(box).macs for record, box in calls if record.NAME in _WEIGHTED)


def check_cost(board: Board, kernel: str) -> None:
    if kernel not in board.costs:
        raise BoardFileError(f"{board.name}.toml: cost.{kernel}: missing; this model needs it")
    for count, _ in board.costs[kernel].each:
        if count not in Work._fields:
            known = ", ".join(Work._fields)
            raise BoardFileError(f"{board.name}.toml: cost.{kernel}.{count}: nothing is counted by that name ({known})")


def _check_edges(graph: Graph, layout: Layout) -> None:
    for tensor in graph.outputs:
        if tensor in layout.constants or graph.tensors[tensor].data is not None:
            raise UnsupportedModel(
                f"{graph.name}: output {graph.tensors[tensor]} is a constant; supported: what an operator computes"
            )


def _spans(graph: Graph, layout: Layout, tensors: Sequence[int]) -> list[Span]:
    return [Span(layout.offsets[t], graph.tensors[t].bytes) for t in tensors]


def _layers(graph: Graph, lowered: Lowered, layout: Layout, ends: Sequence[int]) -> tuple[Layer, ...]:
    """Every operator's outputs, by the step that completes them; a renaming is complete when what it names is."""
    last_end = {job.operator: ends[j] for j, job in enumerate(lowered.jobs)}
    done: dict[int, int] = dict.fromkeys(graph.inputs, 0)
    layers = []
    for operator in graph.operators:
        for tensor in operator.outputs:
            named = lowered.aliases.get(tensor)
            done[tensor] = done.get(named.tensor, 0) if isinstance(named, Act) else last_end.get(operator.index, 0)
            if tensor in layout.offsets:
                span = Span(layout.offsets[tensor], graph.tensors[tensor].bytes)
                layers.append(Layer(tensor, operator.index, done[tensor], span))
    return tuple(sorted(layers, key=lambda layer: layer.steps))


def _parts(jobs: Sequence[Job], timed: Schedule) -> tuple[Part, ...]:
    """Steps and predicted cycles by graph operator, whose kernel calls follow one another."""
    parts: list[Part] = []
    for job, end, tiling in zip(jobs, timed.ends, timed.tilings, strict=True):
        if parts and parts[-1].operator == job.operator:
            last = parts.pop()
            parts.append(Part(job.operator, last.first, end, last.whole + tiling.whole, last.slowest + tiling.slowest))
        else:
            parts.append(Part(job.operator, parts[-1].end if parts else 0, end, tiling.whole, tiling.slowest))
    return tuple(parts)


def _tightest(graph: Graph, jobs: Sequence[Job], layout: Layout) -> Tightest:
    if not jobs:
        tensor = graph.tensors[graph.inputs[0]]
        return Tightest("the model's input", str(tensor), layout.lower_bound)
    peak = max(range(len(jobs)), key=lambda j: layout.live[j])
    target = jobs[peak].record.target
    assert isinstance(target, Act)
    return Tightest(str(graph.operators[jobs[peak].operator]), str(graph.tensors[target.tensor]), layout.live[peak])
