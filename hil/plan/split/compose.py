"""From a node's actions to its program: cores, barriers, places in the arena, bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hil.board import Board
from hil.plan.program import AnyStep, Barrier, Program, Receive, Send, Span, Step, encode
from hil.plan.records import Act, Arena, Record, Ref
from hil.plan.split.arrange import Arrangement
from hil.plan.split.geometry import Storage
from hil.plan.split.nodes import Break, Call, Move, Node
from hil.plan.tiles import Meetings, Touch, tile


@dataclass(frozen=True)
class Stretch:
    """What a node does between two exchanges: predicted cycles, and then the moves of the exchange that ends it.

    `step` is the first step of the exchange.
    """

    cycles: float
    moves: tuple[Move, ...]
    step: int


@dataclass(frozen=True)
class Composed:
    """A node's program, and its predicted course."""

    program: Program
    stretches: tuple[Stretch, ...]
    calls: tuple[int, ...]
    """The model's call behind each record of the program; -1 for what only moves data."""


class _Composer:
    def __init__(self, node: Node, arrangement: Arrangement, board: Board, cores: int) -> None:
        self._node = node
        self._offsets = arrangement.offsets
        self._board = board
        self._cores = cores
        self._records = [record.placed(self._place) for record in node.records]
        self._meetings = Meetings()
        self._spent = [0.0] * cores
        self._cycles = board.run_cost
        self.steps: list[AnyStep] = []
        self.stretches: list[Stretch] = []

    @property
    def records(self) -> Sequence[Record]:
        return self._records

    def _place(self, ref: Ref) -> Ref:
        return Arena(self._offsets[ref.tensor] + ref.offset) if isinstance(ref, Act) else ref

    def _touch(self, ref: Ref, *, writes: bool) -> Touch:
        assert isinstance(ref, Act)
        start = self._offsets[ref.tensor]
        return Touch(start, start + self._node.storages[ref.tensor].bytes, writes)

    def _touches(self, record: Record) -> list[Touch]:
        found = [self._touch(ref, writes=False) for ref in record.sources() if isinstance(ref, Act)]
        return [*found, self._touch(record.target, writes=True)]

    def _meet(self) -> None:
        self.steps.append(Barrier())
        self._cycles += max(self._spent) + (self._board.step_cost if self._cores > 1 else 0.0)
        self._spent = [0.0] * self._cores

    def compose(self) -> None:
        moves: list[Move] = []
        for action in self._node.actions:
            if isinstance(action, Move):
                moves.append(action)
                continue
            self._exchange(moves)
            moves = []
            if isinstance(action, Call):
                self._call(action)
            elif isinstance(action, Break):
                self._meet()
        self._exchange(moves)
        self.stretches.append(Stretch(self._cycles + max(self._spent), (), len(self.steps)))

    def _call(self, call: Call) -> None:
        symbolic, record = self._node.records[call.record], self._records[call.record]
        touches = self._touches(symbolic)
        out = touches[-1]
        overlapping = [t for t in touches[:-1] if t.start < out.end and out.start < t.end]
        divisible = all((t.start, t.end) == (out.start, out.end) for t in overlapping)
        tiling = tile(record, self._board, self._cores, divisible=divisible, of=call.box)
        if self._cores > 1 and self._meetings.needed(tiling.cores, touches):
            self._meet()
        for share in tiling.tiles:
            self.steps.append(Step(call.record, share.box, share.core))
            self._spent[share.core] += tiling.slowest

    def _exchange(self, moves: Sequence[Move]) -> None:
        if not moves:
            return
        touches = [self._touch(self._node.records[m.record].target, writes=not m.sends) for m in moves]
        if self._cores > 1 and self._meetings.needed(frozenset({0}), touches):
            self._meet()
        self.stretches.append(Stretch(self._cycles + max(self._spent), tuple(moves), len(self.steps)))
        self._cycles, self._spent = 0.0, [0.0] * self._cores
        for move in moves:
            if move.sends:
                self.steps.append(Send(move.record, move.first, move.end, move.transfer, move.peers))
            else:
                peer = move.peers.bit_length() - 1
                self.steps.append(Receive(move.record, move.first, move.end, move.transfer, peer))


def compose(
    node: Node,
    arrangement: Arrangement,
    board: Board,
    *,
    cores: int,
    nodes: int,
    inputs: Sequence[Storage],
    outputs: Sequence[Storage],
) -> Composed:
    """The program of one node of `nodes`. Raises `BoardFileError` for a kernel without a cost."""
    if nodes > 1 and not any(isinstance(action, Call) for action in node.actions):
        cores = 1  # the others would only be started
    made = _Composer(node, arrangement, board, cores)
    made.compose()

    def spans(storages: Sequence[Storage]) -> list[Span]:
        return [Span(arrangement.offsets[s.number], s.bytes) for s in storages]

    program = encode(
        made.records, made.steps, spans(inputs), spans(outputs),
        arena_bytes=arrangement.arena(node.exchanges), cores=cores, node=node.number, nodes=nodes,
        trace_at=arrangement.trace_at(node.exchanges),
    )  # fmt: skip
    calls = [-1] * len(node.records)
    for action in node.actions:
        if isinstance(action, Call):
            calls[action.record] = action.operation
    return Composed(program, tuple(made.stretches), tuple(calls))
