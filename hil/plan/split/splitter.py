"""Splits a model over nodes: seeks a division, lays it out, proves that it fits, and says what it will cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hil.board import Board
from hil.errors import DoesNotFit, UnsupportedModel
from hil.model.graph import Graph
from hil.plan.lower import Job, lower
from hil.plan.memory import resolve
from hil.plan.pieces import Piece
from hil.plan.planner import Footprint, Plan, Tightest, idle_functions, weighted_macs
from hil.plan.program import Span
from hil.plan.records import Act, Blob, Ref
from hil.plan.split.arrange import Arrangement, arrange
from hil.plan.split.compose import Composed, compose
from hil.plan.split.geometry import Storage
from hil.plan.split.nodes import Call
from hil.plan.split.nodes import Node as Actions
from hil.plan.split.occupancy import of_node
from hil.plan.split.operations import Operation
from hil.plan.split.pads import without_pads
from hil.plan.split.recognise import operations
from hil.plan.split.timing import Timing, predict
from hil.plan.split.units import Unit
from hil.plan.split.weave import Weaver
from hil.wire import Wire

Objective = Literal["latency", "ram", "traffic", "throughput"]


@dataclass(frozen=True)
class Node:
    """A board that takes part. `footprint`: what the firmware takes of it; None where that is not known yet."""

    board: Board
    cores: int = 1
    footprint: Footprint | None = None

    @property
    def ram(self) -> int:
        """Bytes of RAM for the arena."""
        return self.board.ram.bytes - (self.footprint.ram_static if self.footprint else 0)

    @property
    def flash(self) -> int:
        """Bytes of flash for the program."""
        return self.board.flash.bytes - (self.footprint.flash_code if self.footprint else 0)


def count_of(nodes: Sequence[Node]) -> str:
    """'1 node', or '4 nodes'."""
    return f"{len(nodes)} node{'s' * (len(nodes) != 1)}"


@dataclass(frozen=True)
class Split:
    """A model over several nodes: a plan for each, and what is predicted for all."""

    graph: Graph
    plans: tuple[Plan, ...]
    wire: Wire
    objective: Objective
    timing: Timing
    compare: Mapping[str, Mapping[str, int]]
    """Figures of other ways: `single_node`, `single_node_line_buffered`, `kernel_wise`; bytes of the fullest node."""


@dataclass(frozen=True)
class Model:
    """A graph as calls that can be divided. `names`: the tensor that owns another one's bytes."""

    graph: Graph
    operations: tuple[Operation, ...]
    names: Mapping[int, int]

    @property
    def results(self) -> tuple[int, ...]:
        """The tensors that hold the graph's outputs."""
        return tuple(dict.fromkeys(self.names.get(t, t) for t in self.graph.outputs))


def divisible(graph: Graph) -> Model:
    """The calls of a graph. Raises `UnsupportedModel` or `MalformedModel`."""
    lowered = lower(graph)
    names, constants = resolve(lowered)
    for tensor in graph.outputs:
        if tensor in constants or graph.tensors[tensor].data is not None:
            raise UnsupportedModel(
                f"{graph.name}: output {graph.tensors[tensor]} is a constant; supported: what an operator computes"
            )

    def known(ref: Ref) -> Ref:
        return Blob(constants[ref.tensor][ref.offset :]) if isinstance(ref, Act) and ref.tensor in constants else ref

    jobs = [Job(job.operator, job.record.placed(known)) for job in lowered.jobs]
    return Model(graph, tuple(operations(graph, without_pads(graph, jobs, names), names)), names)


@dataclass(frozen=True)
class Laid:
    """A division laid out in every node's memory; programs are made of it."""

    model: Model
    nodes: tuple[Node, ...]
    woven: Weaver
    arrangements: tuple[Arrangement, ...]

    @property
    def arenas(self) -> tuple[int, ...]:
        """Bytes of every node's arena, with the trace of its exchanges."""
        nodes = zip(self.arrangements, self.woven.nodes, strict=True)
        return tuple(arrangement.arena(node.exchanges) for arrangement, node in nodes)

    @property
    def fits(self) -> bool:
        """Whether the arenas fit in RAM."""
        return all(used <= node.ram for used, node in zip(self.arenas, self.nodes, strict=True))

    def check(self) -> None:
        """Raise `DoesNotFit` for the node whose RAM is exceeded most."""
        over = [(used - node.ram, n) for n, (used, node) in enumerate(zip(self.arenas, self.nodes, strict=True))]
        worst, number = max(over)
        if worst > 0:
            raise self.refusal(number)

    def refusal(self, number: int) -> DoesNotFit:
        node, tight = self.nodes[number], tightest(self.model, self.woven.nodes[number], self.arrangements[number])
        static = node.footprint.ram_static if node.footprint else 0
        needed = self.arenas[number] + static
        return DoesNotFit(
            f"{self.model.graph.name} does not fit on {count_of(self.nodes)}: node {number} ({node.board.name}) needs "
            f"{needed} bytes of RAM, {node.board.ram.bytes} are available; the peak is at {tight.operator}, output "
            f"{tight.tensor}, with {tight.live} bytes alive",
            needed=needed, available=node.board.ram.bytes, operator=tight.operator, tensor=tight.tensor, node=number,
        )  # fmt: skip


def lay(
    model: Model, units: Sequence[Unit], nodes: Sequence[Node], *, keep_inputs: bool = False, apart: bool = False
) -> Laid:
    """A division in memory. `keep_inputs`: a run leaves them as they are, so that it can be repeated."""
    woven = Weaver(model.graph, model.operations, units, len(nodes), apart=apart)
    woven.weave(model.names)
    return Laid(model, tuple(nodes), woven, tuple(arrange(n, keep_inputs=keep_inputs) for n in woven.nodes))


def tightest(model: Model, node: Actions, arrangement: Arrangement) -> Tightest:
    """The call during which most bytes of a node are alive."""
    graph = model.graph
    operator, best = -1, -1
    for tick, action in node.ticked():
        if isinstance(action, Call) and action.operation >= 0:
            alive = sum(
                storage.bytes
                for storage, use in zip(node.storages, node.uses, strict=True)
                if use is not None and use.first <= tick <= use.last
            )
            if alive > best:
                operator, best = action.operation, alive
    if operator < 0:
        return Tightest("nothing", "none", arrangement.live)
    job = model.operations[operator].job
    assert isinstance(job.record.target, Act)
    return Tightest(str(graph.operators[job.operator]), str(graph.tensors[job.record.target.tensor]), arrangement.live)


def programs(laid: Laid) -> tuple[Composed, ...]:
    """Every node's program."""
    made = []
    for number, (actions, arrangement, node) in enumerate(
        zip(laid.woven.nodes, laid.arrangements, laid.nodes, strict=True)
    ):
        outputs = [laid.woven.result(t) for t in laid.model.graph.outputs] if number == 0 else []
        inputs = [storage for _, storage in _given(laid, number)]
        made.append(
            compose(
                actions, arrangement, node.board, cores=node.cores, nodes=len(laid.nodes), inputs=inputs,
                outputs=outputs,
            )
        )  # fmt: skip
    return tuple(made)


def _given(laid: Laid, number: int) -> list[tuple[int, Storage]]:
    return [(tensor, storage) for node, tensor, storage in laid.woven.given() if node == number]


def plans(laid: Laid, composed: Sequence[Composed]) -> tuple[Plan, ...]:
    """A plan for each node."""
    return tuple(_plan(laid, number, made) for number, made in enumerate(composed))


def _plan(laid: Laid, number: int, made: Composed) -> Plan:
    model, node, actions = laid.model, laid.nodes[number], laid.woven.nodes[number]
    records = actions.records
    used = sorted({action.record for action in actions.actions if isinstance(action, Call)})
    roots = [model.names.get(t, t) for t in model.graph.inputs]
    pieces = []
    for (tensor, storage), span in zip(_given(laid, number), made.program.inputs, strict=True):
        view, box = storage.view, storage.box
        shape = (view.rows, view.width, view.channels, view.size)
        pieces.append(Piece(roots.index(tensor), box.r0, box.r1, box.c0, box.c1, shape, Span(span.offset, span.bytes)))
    return Plan(
        graph=model.graph,
        board=node.board,
        cores=made.program.cores,
        program=made.program,
        kernels=frozenset(records[k].NAME for k in used),
        idle=idle_functions([records[k] for k in used]),
        operators=tuple(-1 if call < 0 else model.operations[call].job.operator for call in made.calls),
        layers=(),
        parts=(),
        tightest=tightest(model, actions, laid.arrangements[number]),
        macs=weighted_macs((records[a.record], a.box) for a in actions.actions if isinstance(a, Call)),
        cycles=round(sum(stretch.cycles for stretch in made.stretches)),
        node=number,
        nodes=len(laid.nodes),
        pieces=tuple(pieces),
        bytes_sent=actions.sent,
        bytes_received=actions.received,
        occupancy=of_node(model.graph, model.operations, actions, laid.arrangements[number]),
    )


def finished(laid: Laid, wire: Wire, objective: Objective, compare: Mapping[str, Mapping[str, int]]) -> Split:
    """Programs, plans and timing of a division that was chosen."""
    composed = programs(laid)
    timing = predict([node.board for node in laid.nodes], [made.stretches for made in composed], wire)
    return Split(laid.model.graph, plans(laid, composed), wire, objective, timing, compare)
