"""MEAN: `reference_ops::QuantizedMeanOrSum`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hil.plan.arithmetic import INT8_MAX, INT8_MIN, requantise, wrap32
from hil.plan.kernels.elementwise import divisions, offsets
from hil.plan.records import Box, Extent, Memory, Record, Ref, Work


@dataclass(frozen=True)
class Mean(Record):
    """int8 mean over any dimensions. Output element (row, x, c), a row being an index into `dims`, sums the input over
    `reduced` x `run` elements from its place on. `offset` is -count * the input's zero point; 1 / count is in the
    multiplier.
    """

    KIND: ClassVar[int] = 7
    COST: ClassVar[str] = "mean"
    NAME: ClassVar[str] = "mean"

    input: Ref
    out: Ref
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    reduced: tuple[int, ...]
    reduced_strides: tuple[int, ...]
    run_length: int
    run_stride: int
    width: int
    width_stride: int
    channels: int
    channel_stride: int
    offset: int
    multiplier: int
    shift: int
    out_zp: int

    def extent(self) -> Extent:
        return Extent(math.prod(self.dims), self.channels)

    def work(self, box: Box) -> Work:
        rows = box.r1 - box.r0
        outputs = rows * self.width * (box.c1 - box.c0)
        runs = outputs * math.prod(self.reduced)
        turns = runs * self.run_length
        outer = math.prod(self.reduced)
        return Work(
            turns, outputs, rows=rows, pixels=rows * self.width, turns=turns, runs=runs,
            pieces=divisions(self.dims, box.r0, box.r1) + outputs * divisions(self.reduced, 0, outer),
        )  # fmt: skip

    def run(self, memory: Memory, box: Box) -> None:
        rows, count = math.prod(self.dims), math.prod(self.reduced)
        size = rows * self.width * self.channels
        data = memory.read(self.input, size * count * self.run_length, "int8").astype(np.int64)
        starts = (
            offsets(self.dims, self.strides, np.arange(box.r0, box.r1, dtype=np.int64))[:, None, None]
            + (np.arange(self.width) * self.width_stride)[None, :, None]
            + (np.arange(box.c0, box.c1) * self.channel_stride)[None, None, :]
        )
        total = np.full(starts.shape, self.offset, np.int64)
        for outer in offsets(self.reduced, self.reduced_strides, np.arange(count, dtype=np.int64)):
            for step in range(self.run_length):
                total += data[starts + (outer + step * self.run_stride)]
        scaled = requantise(wrap32(total), self.multiplier, self.shift) + self.out_zp
        out = memory.view(self.out, size, "int8").reshape(rows, self.width, self.channels)
        out[box.r0 : box.r1, :, box.c0 : box.c1] = np.clip(scaled, INT8_MIN, INT8_MAX)
