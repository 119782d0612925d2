"""Copy and Fill: every operator that only moves data, as one strided loop nest over up to six dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hil.plan.records import Box, Extent, Memory, Record, Ref, Work


@dataclass(frozen=True)
class Copy(Record):
    """`out[i . out_strides] = input[start + i . in_strides]` for every index `i` inside `dims`.

    A unit is `unit` bytes, 1 or 4; `start` and strides count units. The source's strides may be negative
    (STRIDED_SLICE) or 0. Rows are `dims[0]`, channels `dims[5]`. The output may not overlap the input.
    """

    KIND: ClassVar[int] = 8
    COST: ClassVar[str] = "copy"
    NAME: ClassVar[str] = "copy"

    input: Ref
    out: Ref
    unit: int
    start: int
    dims: tuple[int, ...]
    in_strides: tuple[int, ...]
    out_strides: tuple[int, ...]

    def extent(self) -> Extent:
        return Extent(self.dims[0], self.dims[-1])

    def work(self, box: Box) -> Work:
        inner = int(np.prod(self.dims[1:-1], dtype=np.int64))
        return Work(0, (box.r1 - box.r0) * (box.c1 - box.c0) * inner)

    def run(self, memory: Memory, box: Box) -> None:
        ranges = [range(box.r0, box.r1), *map(range, self.dims[1:-1]), range(box.c0, box.c1)]
        source, target = self.start + _places(ranges, self.in_strides), _places(ranges, self.out_strides)
        dtype = "int8" if self.unit == 1 else "uint32"
        values = memory.read(self.input, int(source.max()) + 1, dtype)[source]
        memory.view(self.out, int(target.max()) + 1, dtype)[target] = values


@dataclass(frozen=True)
class Fill(Record):
    """`rows` x `channels` bytes of one value, an int8."""

    KIND: ClassVar[int] = 9
    COST: ClassVar[str] = "copy"
    NAME: ClassVar[str] = "fill"

    out: Ref
    rows: int
    channels: int
    value: int

    def extent(self) -> Extent:
        return Extent(self.rows, self.channels)

    def work(self, box: Box) -> Work:
        return Work(0, (box.r1 - box.r0) * (box.c1 - box.c0))

    def run(self, memory: Memory, box: Box) -> None:
        out = memory.view(self.out, self.rows * self.channels, "int8").reshape(self.rows, self.channels)
        out[box.r0 : box.r1, box.c0 : box.c1] = self.value


def _places(ranges: Sequence[range], strides: Sequence[int]) -> npt.NDArray[np.int64]:
    """The place of every index of a box, counted from index 0."""
    places = np.zeros((), np.int64)
    for indices, stride in zip(ranges, strides, strict=True):
        places = places[..., None] + np.asarray(indices, np.int64) * stride
    return places
