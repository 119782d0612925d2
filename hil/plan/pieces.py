"""Parts of a model's input: what the host writes to one node of several."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hil.plan.program import Span


@dataclass(frozen=True)
class Piece:
    """Rows [r0, r1) and channels [c0, c1) of graph input `input`, for `span` of a node's arena.

    `shape` is how the input's bytes are seen: rows, width, channels, bytes of an element.
    """

    input: int
    r0: int
    r1: int
    c0: int
    c1: int
    shape: tuple[int, int, int, int]
    span: Span

    def cut(self, value: npt.NDArray[np.generic]) -> bytes:
        """The piece's bytes of a value of the whole input."""
        rows = np.frombuffer(value.tobytes(), np.uint8).reshape(self.shape)
        return rows[self.r0 : self.r1, :, self.c0 : self.c1].tobytes()
