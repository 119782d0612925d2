"""ADD, SUB and MUL: `reference_integer_ops::AddElementwise`, `MulElementwise` and their broadcasting forms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hil.plan.arithmetic import Int64s, requantise
from hil.plan.records import Act, Box, Extent, Memory, Record, Ref, Work

LEFT_SHIFT = 20
"""Bits that ADD and SUB gain before they scale their inputs."""


def offsets(dims: tuple[int, ...], strides: tuple[int, ...], rows: Int64s) -> Int64s:
    """Offset of each row (an index into `dims`, row-major) under `strides`, in elements."""
    at = np.zeros_like(rows)
    for size, stride in zip(reversed(dims), reversed(strides), strict=True):
        at += rows % size * stride
        rows = rows // size
    return at


def divisions(dims: tuple[int, ...], first: int, end: int) -> int:
    """How many divisions `hil_row_offset` needs to find the rows [first, end)."""
    inner, found = 1, 0
    for size in reversed(dims):
        inner *= size
        found += max(0, end - max(first, inner))
    return found


@dataclass(frozen=True)
class Pair(Record):
    """Two int8 inputs, each repeated along any dimension: element (row, x, c) of the output takes each input at the
    sum of its indices times that input's strides, a row being an index into `dims`; stride 0 repeats.
    """

    COST: ClassVar[str] = "elementwise"

    a: Ref
    b: Ref
    out: Ref
    dims: tuple[int, ...]
    a_strides: tuple[int, ...]
    b_strides: tuple[int, ...]
    width: int
    channels: int
    a_width: int
    a_channel: int
    b_width: int
    b_channel: int
    a_zp: int
    b_zp: int
    out_zp: int
    lo: int
    hi: int

    def extent(self) -> Extent:
        return Extent(math.prod(self.dims), self.channels)

    def work(self, box: Box) -> Work:
        rows, count = box.r1 - box.r0, box.c1 - box.c0
        joined = (
            count == self.channels and self.a_width == count * self.a_channel and self.b_width == count * self.b_channel
        )
        return Work(
            0, rows * self.width * count, rows=rows, runs=rows if joined else rows * self.width,
            pieces=divisions(self.dims, box.r0, box.r1),
        )  # fmt: skip

    def may_overwrite(self) -> tuple[Ref, ...]:
        """Inputs that are not repeated, unless the other one reads the same tensor in another order."""
        whole_a = self._whole(self.a_strides, self.a_width, self.a_channel)
        whole_b = self._whole(self.b_strides, self.b_width, self.b_channel)
        if not (whole_a and whole_b) and _same_storage(self.a, self.b):
            return ()
        return tuple(ref for ref, whole in ((self.a, whole_a), (self.b, whole_b)) if whole)

    def run(self, memory: Memory, box: Box) -> None:
        index_a = self._index(box, self.a_strides, self.a_width, self.a_channel)
        index_b = self._index(box, self.b_strides, self.b_width, self.b_channel)
        a = memory.read(self.a, int(index_a.max()) + 1, "int8")[index_a].astype(np.int64) - self.a_zp
        b = memory.read(self.b, int(index_b.max()) + 1, "int8")[index_b].astype(np.int64) - self.b_zp
        rows = math.prod(self.dims)
        out = memory.view(self.out, rows * self.width * self.channels, "int8").reshape(rows, self.width, -1)
        out[box.r0 : box.r1, :, box.c0 : box.c1] = np.clip(self.combine(a, b) + self.out_zp, self.lo, self.hi)

    def combine(self, a: Int64s, b: Int64s) -> Int64s:
        """The result, without zero point, from the inputs without theirs."""
        raise NotImplementedError

    def _whole(self, strides: tuple[int, ...], width: int, channel: int) -> bool:
        sizes = (*self.dims, self.width, self.channels)
        step = 1
        for size, stride in zip(reversed(sizes), reversed((*strides, width, channel)), strict=True):
            if size > 1 and stride != step:
                return False
            step *= size
        return True

    def _index(self, box: Box, strides: tuple[int, ...], width: int, channel: int) -> Int64s:
        """Where an input is read for each (row, x, c) of the box."""
        rows = offsets(self.dims, strides, np.arange(box.r0, box.r1, dtype=np.int64))
        columns = np.arange(self.width, dtype=np.int64) * width
        channels = np.arange(box.c0, box.c1, dtype=np.int64) * channel
        index: Int64s = rows[:, None, None] + columns[None, :, None] + channels[None, None, :]
        return index


def _same_storage(a: Ref, b: Ref) -> bool:
    return (isinstance(a, Act) and isinstance(b, Act) and a.tensor == b.tensor) or a == b


@dataclass(frozen=True)
class Add(Pair):
    """Sum, or difference with `sign` -1: inputs are scaled to a common scale, added or subtracted, rescaled.

    The sign counts after scaling: negating the multiplier instead would round halves the other way.
    """

    KIND: ClassVar[int] = 5
    NAME: ClassVar[str] = "add"

    a_multiplier: int
    a_shift: int
    b_multiplier: int
    b_shift: int
    multiplier: int
    shift: int
    sign: int

    def work(self, box: Box) -> Work:
        """An addition is `fast`; each shift to the right takes longer than none."""
        work = super().work(box)
        shifts = (self.a_shift < 0) + (self.b_shift < 0) + (self.shift < 0)
        return work._replace(fast=work.outputs, extra=shifts * work.outputs)

    def combine(self, a: Int64s, b: Int64s) -> Int64s:
        total = requantise(a << LEFT_SHIFT, self.a_multiplier, self.a_shift)
        total += self.sign * requantise(b << LEFT_SHIFT, self.b_multiplier, self.b_shift)
        return requantise(total, self.multiplier, self.shift)


@dataclass(frozen=True)
class Mul(Pair):
    """Product, rescaled."""

    KIND: ClassVar[int] = 6
    NAME: ClassVar[str] = "mul"

    multiplier: int
    shift: int

    def work(self, box: Box) -> Work:
        """A product is `slow`."""
        work = super().work(box)
        return work._replace(slow=work.outputs)

    def combine(self, a: Int64s, b: Int64s) -> Int64s:
        return requantise(a * b, self.multiplier, self.shift)
