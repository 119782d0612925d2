"""Runs a *program* in numpy: proves the bytes right before a board is touched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hil.errors import PlanError
from hil.plan.program import Program, Span
from hil.plan.records import Memory

_PAINT = 0xA5


class Interpreter:
    """One program with an arena of its own. The arena starts painted, so that reading what nobody wrote shows."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.arena = np.full(program.arena_bytes, _PAINT, np.uint8)
        self._memory = Memory(self.arena, program.data)

    def write(self, index: int, data: bytes) -> None:
        """Set input `index` from its bytes."""
        span = self.program.inputs[index]
        if len(data) != span.bytes:
            raise PlanError(f"input {index} takes {span.bytes} bytes, not {len(data)}")
        self.arena[span.offset : span.offset + span.bytes] = np.frombuffer(data, np.uint8)

    def read(self, span: Span) -> bytes:
        return self.arena[span.offset : span.offset + span.bytes].tobytes()

    def step(self, index: int) -> None:
        step = self.program.steps[index]
        self.program.operators[step.operator].run(self._memory, step.box)

    def run(self, inputs: Sequence[npt.NDArray[np.generic]]) -> tuple[bytes, ...]:
        """One inference; gives the outputs' bytes."""
        for index, value in enumerate(inputs):
            self.write(index, value.tobytes())
        for index in range(len(self.program.steps)):
            self.step(index)
        return tuple(self.read(span) for span in self.program.outputs)
