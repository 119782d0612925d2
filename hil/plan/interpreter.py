"""Runs a *program* in numpy: proves the bytes right before a board is touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hil.errors import PlanError
from hil.plan.program import Barrier, Program, Receive, Send, Span, Step
from hil.plan.records import Memory

_PAINT = 0xA5


class Interpreter:
    """One program with an arena of its own. The arena starts painted, so that reading what nobody wrote shows.

    It has no network: a SEND or RECEIVE that `step` comes to is a `PlanError`. `memory` is for whoever moves messages.

    Steps run in the order of the program. With `order`, a permutation of its cores, all steps of `order[0]` between
    two barriers run first, then those of `order[1]`, and so on: where two cores touch the same bytes without a barrier
    between them, some order gives another result.
    """

    def __init__(self, program: Program, *, order: Sequence[int] | None = None) -> None:
        if order is not None and sorted(order) != list(range(program.cores)):
            raise PlanError(f"{list(order)} is no order of {program.cores} cores")
        self.program = program
        self.order = order
        self.arena = np.full(program.arena_bytes, _PAINT, np.uint8)
        self.memory = Memory(self.arena, program.data)

    def write(self, index: int, data: bytes) -> None:
        """Set input `index` from its bytes."""
        span = self.program.inputs[index]
        if len(data) != span.bytes:
            raise PlanError(f"input {index} takes {span.bytes} bytes, not {len(data)}")
        self.arena[span.offset : span.offset + span.bytes] = np.frombuffer(data, np.uint8)

    def read(self, span: Span) -> bytes:
        return self.arena[span.offset : span.offset + span.bytes].tobytes()

    def step(self, index: int) -> None:
        """Run one step, whichever core it is of; a barrier does nothing here."""
        step = self.program.steps[index]
        if isinstance(step, Send | Receive):
            raise PlanError(f"step {index} is a message between nodes: {step}; this runs one node alone")
        if not isinstance(step, Barrier):
            self.program.operators[step.operator].run(self.memory, step.box)

    def run(self, inputs: Sequence[npt.NDArray[np.generic]]) -> tuple[bytes, ...]:
        """One inference; gives the outputs' bytes."""
        for index, value in enumerate(inputs):
            self.write(index, value.tobytes())
        for index in self._indexes():
            self.step(index)
        return tuple(self.read(span) for span in self.program.outputs)

    def _indexes(self) -> Iterator[int]:
        """The steps as they run."""
        if self.order is None:
            yield from range(len(self.program.steps))
            return
        section: list[list[int]] = [[] for _ in self.order]
        for index, step in enumerate(self.program.steps):
            if not isinstance(step, Barrier):
                section[step.core if isinstance(step, Step) else 0].append(index)
                continue
            for core in self.order:
                yield from section[core]
                section[core].clear()
        for core in self.order:
            yield from section[core]
