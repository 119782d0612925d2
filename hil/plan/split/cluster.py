"""Runs the programs of all nodes in numpy, with the messages between them: proves a split right before any flashing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hil.errors import PlanError
from hil.plan.kernels import Transfer
from hil.plan.planner import Plan
from hil.plan.program import Barrier, Program, Receive, Send, Span, Step
from hil.plan.records import Memory

_PAINT = 0xA5


class _Node:
    """One node's arena and how far its program has run."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.arena = np.full(program.arena_bytes, _PAINT, np.uint8)
        self.memory = Memory(self.arena, program.data)
        self.at = 0
        self.waiting: tuple[int, int] | None = None
        """The exchange [first, end) that it is in."""
        self._starts = dict(program.exchanges())

    def compute(self) -> None:
        """Run up to the next exchange, or to the end."""
        steps = self.program.steps
        while self.waiting is None and self.at < len(steps):
            step = steps[self.at]
            if isinstance(step, Send | Receive):
                self.waiting = (self.at, self._starts[self.at])
                return
            if isinstance(step, Step):
                self.program.operators[step.operator].run(self.memory, step.box)
            else:
                assert isinstance(step, Barrier)
            self.at += 1

    def leave(self) -> None:
        """The exchange is over."""
        assert self.waiting is not None
        self.at, self.waiting = self.waiting[1], None

    def moves(self) -> list[tuple[int, Send | Receive]]:
        if self.waiting is None:
            return []
        steps = [(index, self.program.steps[index]) for index in range(*self.waiting)]
        return [(index, step) for index, step in steps if isinstance(step, Send | Receive)]

    def transfer(self, step: Send | Receive) -> Transfer:
        record = self.program.operators[step.operator]
        assert isinstance(record, Transfer)
        return record


class Cluster:
    """All nodes of a split, each with an arena of its own that starts painted.

    Messages go where and when the programs say: a node leaves an exchange when all its transfers are done. Raises
    `PlanError` where nodes wait for each other for ever, or a message does not fit its receiver.
    """

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._plans = plans
        self._nodes = [_Node(plan.program) for plan in plans]
        self._done: set[tuple[int, int]] = set()

    def run(self, inputs: Sequence[npt.NDArray[np.generic]]) -> tuple[bytes, ...]:
        """One inference; gives the outputs' bytes, which node 0 has."""
        for plan, node in zip(self._plans, self._nodes, strict=True):
            for piece in plan.pieces:
                _write(node.arena, piece.span, piece.cut(inputs[piece.input]))
        self._infer()
        first = self._nodes[0]
        return tuple(first.arena[s.offset : s.offset + s.bytes].tobytes() for s in first.program.outputs)

    def _infer(self) -> None:
        self._done.clear()
        for node in self._nodes:
            node.at, node.waiting = 0, None
        while any(node.at < len(node.program.steps) for node in self._nodes):
            before = [node.at for node in self._nodes], len(self._done)
            for node in self._nodes:
                node.compute()
            for number in range(len(self._nodes)):
                self._deliver(number)
            for number, node in enumerate(self._nodes):
                if node.waiting is not None and all(self._complete(number, step) for _, step in node.moves()):
                    node.leave()
            if before == ([node.at for node in self._nodes], len(self._done)):
                stuck = {n: node.at for n, node in enumerate(self._nodes) if node.waiting is not None}
                raise PlanError(f"the nodes wait for each other for ever, at steps {stuck}")

    def _complete(self, number: int, step: Send | Receive) -> bool:
        if isinstance(step, Receive):
            return (number, step.transfer) in self._done
        return all((peer, step.transfer) in self._done for peer in _peers(step.peers))

    def _deliver(self, number: int) -> None:
        """Take what this node waits for from those that are ready to send it."""
        node = self._nodes[number]
        for _, step in node.moves():
            if not isinstance(step, Receive) or (number, step.transfer) in self._done:
                continue
            sender = self._nodes[step.peer]
            for _, other in sender.moves():
                if isinstance(other, Send) and other.transfer == step.transfer and other.peers >> number & 1:
                    data = sender.transfer(other).gather(sender.memory, other.first, other.end)
                    record = node.transfer(step)
                    if len(data) != record.size(step.first, step.end):
                        raise PlanError(
                            f"message {step.transfer} has {len(data)} bytes, which node {number} cannot take"
                        )
                    record.scatter(node.memory, step.first, step.end, data)
                    self._done.add((number, step.transfer))


def _write(arena: npt.NDArray[np.uint8], span: Span, data: bytes) -> None:
    if len(data) != span.bytes:
        raise PlanError(f"an input of {span.bytes} bytes was given {len(data)}")
    arena[span.offset : span.offset + span.bytes] = np.frombuffer(data, np.uint8)


def _peers(mask: int) -> list[int]:
    return [node for node in range(mask.bit_length()) if mask >> node & 1]
