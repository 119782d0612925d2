"""Copy and Fill: every operator that only moves data, as one strided loop nest over up to six dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hil.plan.records import Blob, Box, Extent, Memory, Record, Ref, Work

_LEAST_WORDS = 8
"""Bytes of a run from which on copy.c looks for words."""


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
        """Counts as copy.c moves. Runs: four words at a time (`turns`), words (`slow_turns`) and bytes (`gathered`);
        `extra` are runs of bytes in which it looks for words. Not in runs: bytes (`slow`) and words (`pieces`).
        """
        (count, step_in, step_out), *outer = joined(
            (box.r1 - box.r0, *self.dims[1:-1], box.c1 - box.c0), self.in_strides, self.out_strides
        )
        runs = math.prod(axis[0] for axis in outer)
        units = count * runs
        if (step_in, step_out) != (1, 1):
            strided = Work(0, units, slow_runs=runs)
            return strided._replace(pieces=units) if self.unit == 4 else strided._replace(slow=units)
        if self.unit == 4:
            return Work(0, units, runs=runs, turns=count // 4 * runs, slow_turns=count % 4 * runs)
        if count < _LEAST_WORDS:
            return Work(0, units, runs=runs, gathered=units)
        start = self.start + box.r0 * self.in_strides[0] + box.c0 * self.in_strides[-1] + _place(self.input)
        end = box.r0 * self.out_strides[0] + box.c0 * self.out_strides[-1] + _place(self.out)
        alike = _alike(start - end, [(n, a - b) for n, a, b in outer])
        before = -end % 4 if all(b % 4 == 0 for _, _, b in outer) else 2  # bytes before the first word
        words = (count - before) // 4
        return Work(
            0, units, runs=runs, extra=runs, turns=alike * (words // 4), slow_turns=alike * (words % 4),
            gathered=units - alike * words * 4,
        )  # fmt: skip

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
    COST: ClassVar[str] = "fill"
    NAME: ClassVar[str] = "fill"

    out: Ref
    rows: int
    channels: int
    value: int

    def extent(self) -> Extent:
        return Extent(self.rows, self.channels)

    def work(self, box: Box) -> Work:
        rows, count = box.r1 - box.r0, box.c1 - box.c0
        outputs = rows * count
        if count == self.channels:
            rows, count = 1, outputs
        start = _place(self.out) + box.r0 * self.channels + box.c0
        before = [-(start + k * self.channels) % 4 for k in range(min(rows, 4))]  # bytes up to the first word
        words = sum(max(0, count - skip) // 4 * ((rows + 3 - k) // 4) for k, skip in enumerate(before))
        return Work(0, outputs, runs=rows, turns=words, gathered=outputs - 4 * words)

    def run(self, memory: Memory, box: Box) -> None:
        out = memory.view(self.out, self.rows * self.channels, "int8").reshape(self.rows, self.channels)
        out[box.r0 : box.r1, box.c0 : box.c1] = self.value


def joined(counts: Sequence[int], in_strides: Sequence[int], out_strides: Sequence[int]) -> list[tuple[int, int, int]]:
    """(count, stride in, stride out), innermost first: neighbouring axes that lie one after the other are one."""
    axes = [(counts[-1], in_strides[-1], out_strides[-1])]
    for count, a, b in reversed(list(zip(counts[:-1], in_strides[:-1], out_strides[:-1], strict=True))):
        inner = axes[-1]
        if count == 1:
            continue
        if inner[0] == 1:
            axes[-1] = (count, a, b)
        elif (a, b) == (inner[1] * inner[0], inner[2] * inner[0]):
            axes[-1] = (inner[0] * count, inner[1], inner[2])
        else:
            axes.append((count, a, b))
    return axes


def _place(ref: Ref) -> int:
    """An offset, as far as it is known; before that tensors count as aligned."""
    return 0 if isinstance(ref, Blob) else ref.offset


def _alike(start: int, axes: Sequence[tuple[int, int]]) -> int:
    """At how many places of the axes (count, stride) `start` and the strides add up to a multiple of 4."""
    found = [int(k == start % 4) for k in range(4)]
    for count, stride in axes:
        hits = [(count - k + 3) // 4 for k in range(4)]  # indices that are k modulo 4
        found = [sum(found[(k - stride * i) % 4] * hits[i] for i in range(4)) for k in range(4)]
    return found[0]


def _places(ranges: Sequence[range], strides: Sequence[int]) -> npt.NDArray[np.int64]:
    """The place of every index of a box, counted from index 0."""
    places = np.zeros((), np.int64)
    for indices, stride in zip(ranges, strides, strict=True):
        places = places[..., None] + np.asarray(indices, np.int64) * stride
    return places
