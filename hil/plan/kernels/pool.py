"""AVERAGE_POOL_2D and MAX_POOL_2D: `reference_integer_ops::AveragePool` and `MaxPool`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hil.plan.arithmetic import INT8_MIN, Int64s
from hil.plan.kernels.reach import reach
from hil.plan.kernels.window import Axis, windows
from hil.plan.records import Box, Extent, Memory, Record, Ref, Work

_OUTSIDE = 1 << 20
"""Marks taps that lie outside of the input."""


@dataclass(frozen=True)
class Pool(Record):
    """int8 pooling without rescaling, over the taps inside the input. Rows of a box are batch * oh.

    `in_rows`, `out_rows`: see `Conv`.
    """

    COST: ClassVar[str] = "pool"
    AVERAGES: ClassVar[bool]

    input: Ref
    out: Ref
    batch: int
    ih: int
    iw: int
    channels: int
    oh: int
    ow: int
    kh: int
    kw: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    lo: int
    hi: int
    in_rows: int
    out_rows: int

    def extent(self) -> Extent:
        return Extent(self.batch * self.oh, self.channels)

    def work(self, box: Box) -> Work:
        """An average's outputs are `fast`, a maximum's `slow`."""
        rows, count = box.r1 - box.r0, box.c1 - box.c0
        pixels = rows * self.ow
        vertical, horizontal = self.axes()
        rows_in, columns_in = reach(vertical, box.r0, box.r1)[0], reach(horizontal, 0, self.ow)[0]
        outputs, runs, turns = pixels * count, rows_in * self.ow * count, rows_in * columns_in * count
        macs = outputs * self.kh * self.kw
        if self.AVERAGES:
            return Work(macs, outputs, rows, pixels, fast=outputs, turns=turns, runs=runs)
        return Work(macs, outputs, rows, pixels, slow=outputs, slow_turns=turns, slow_runs=runs)

    def axes(self) -> tuple[Axis, Axis]:
        """The window's vertical and horizontal walk."""
        return (
            Axis(self.ih, self.oh, self.kh, self.stride_h, 1, self.pad_top),
            Axis(self.iw, self.ow, self.kw, self.stride_w, 1, self.pad_left),
        )

    def run(self, memory: Memory, box: Box) -> None:
        image = memory.read(self.input, self.in_rows * self.iw * self.channels, "int8")
        image = image.reshape(self.in_rows, self.iw, self.channels)[..., box.c0 : box.c1]
        rows = np.arange(box.r0, box.r1, dtype=np.int64)
        values = np.stack([values for _, _, values in windows(image, rows, *self.axes(), _OUTSIDE)]).astype(np.int64)
        result = self.combine(values, values != _OUTSIDE)
        out = memory.view(self.out, self.out_rows * self.ow * self.channels, "int8")
        out = out.reshape(-1, self.ow, self.channels)
        out[rows % self.out_rows, :, box.c0 : box.c1] = np.clip(result, self.lo, self.hi)

    def combine(self, values: Int64s, inside: npt.NDArray[np.bool_]) -> Int64s:
        """The result from the values of every tap, and whether they lie inside the input; taps come first."""
        raise NotImplementedError


@dataclass(frozen=True)
class PoolAverage(Pool):
    """The mean, to the nearest, halves away from zero, of the stored values."""

    KIND: ClassVar[int] = 3
    NAME: ClassVar[str] = "pool_average"
    AVERAGES: ClassVar[bool] = True

    def combine(self, values: Int64s, inside: npt.NDArray[np.bool_]) -> Int64s:
        total, count = values.sum(axis=0, where=inside), inside.sum(axis=0)
        mean: Int64s = np.sign(total) * ((np.abs(total) + count // 2) // count)
        return mean


@dataclass(frozen=True)
class PoolMax(Pool):
    """The largest stored value."""

    KIND: ClassVar[int] = 4
    NAME: ClassVar[str] = "pool_max"
    AVERAGES: ClassVar[bool] = False

    def combine(self, values: Int64s, inside: npt.NDArray[np.bool_]) -> Int64s:
        largest: Int64s = np.where(inside, values, INT8_MIN).max(axis=0)
        return largest
