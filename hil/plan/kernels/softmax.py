"""Softmax and LogSoftmax on int8: TFLite's integer arithmetic, with the exponentials of all differences in a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hil.plan.arithmetic import INT32_MIN, Int64s, high_multiply, requantise, rounding_shift_right, wrap32
from hil.plan.fixed_point import leading_zeros, log_of_at_least_one, reciprocal_of_one_plus
from hil.plan.records import Box, Extent, Memory, Record, Ref, Work

ACCUMULATOR_BITS = 12
MAX_DEPTH = (1 << ACCUMULATOR_BITS) - 1
"""Channels whose exponentials, each at most 1, cannot overflow the sum in Q12."""


@dataclass(frozen=True)
class Softmax(Record):
    """int8 softmax over the channels, as `reference_ops::Softmax`; the output has scale 1/256 and zero point -128.

    `exps` holds 256 int32: entry 255 - d is exp(-d * scale * beta) in Q0, or 0 where the reference leaves it out.
    Where the sum reaches 512, the reference aborts; here the quotient then rounds to 0.
    """

    KIND: ClassVar[int] = 13
    COST: ClassVar[str] = "softmax"
    NAME: ClassVar[str] = "softmax"

    input: Ref
    out: Ref
    exps: Ref
    rows: int
    channels: int

    def extent(self) -> Extent:
        return Extent(self.rows, self.channels, whole_channels=True)

    def work(self, box: Box) -> Work:
        return Work(0, (box.r1 - box.r0) * (box.c1 - box.c0), rows=box.r1 - box.r0)

    def may_overwrite(self) -> tuple[Ref, ...]:
        return (self.input,)

    def run(self, memory: Memory, box: Box) -> None:
        below = _below_maximum(memory, self.input, self.rows, self.channels, box)
        exps = memory.read(self.exps, 256, "int32").astype(np.int64)[255 - below]
        total = rounding_shift_right(exps, np.asarray(ACCUMULATOR_BITS)).sum(axis=1, keepdims=True)
        zeros = leading_zeros(total)
        reciprocal = reciprocal_of_one_plus((total << zeros) - (1 << 31))
        # The reciprocal is 2^(12 - zeros) too large; 31 - 8 bits are below the output's unit.
        shift = ACCUMULATOR_BITS - zeros + 31 - 8
        quotient = rounding_shift_right(high_multiply(reciprocal, exps), np.minimum(shift, 31))
        result = np.minimum(np.where(shift > 31, 0, quotient) - 128, 127)
        _store(memory, self.out, self.rows, box, result)


@dataclass(frozen=True)
class LogSoftmax(Record):
    """int8 log-softmax over the channels, as `reference_integer_ops::LogSoftmax`; scale 1/16, zero point 127.

    `exps` and `differences` hold 256 int32 each, entry 255 - d for the difference d: its exponential in Q12 (0 where
    the reference leaves it out), and -d * scale in Q5. Differences down to `lowest` or to the logarithm of the sum
    less 32, scaled by (multiplier, shift), give the least output; the nearer limit holds.
    """

    KIND: ClassVar[int] = 14
    COST: ClassVar[str] = "log_softmax"
    NAME: ClassVar[str] = "log_softmax"

    input: Ref
    out: Ref
    exps: Ref
    differences: Ref
    rows: int
    channels: int
    lowest: int
    multiplier: int
    shift: int

    def extent(self) -> Extent:
        return Extent(self.rows, self.channels, whole_channels=True)

    def work(self, box: Box) -> Work:
        return Work(0, (box.r1 - box.r0) * (box.c1 - box.c0), rows=box.r1 - box.r0)

    def may_overwrite(self) -> tuple[Ref, ...]:
        return (self.input,)

    def run(self, memory: Memory, box: Box) -> None:
        below = _below_maximum(memory, self.input, self.rows, self.channels, box)
        exps = memory.read(self.exps, 256, "int32").astype(np.int64)[255 - below]
        log_sum = log_of_at_least_one(exps.sum(axis=1, keepdims=True))
        reach = requantise(wrap32(log_sum + INT32_MIN), self.multiplier, self.shift)
        differences = memory.read(self.differences, 256, "int32").astype(np.int64)[255 - below]
        result = np.clip(rounding_shift_right(differences - log_sum, np.asarray(31 - 5 - 4)) + 127, -128, 127)
        _store(memory, self.out, self.rows, box, np.where(-below > np.maximum(self.lowest, reach), result, -128))


def _below_maximum(memory: Memory, ref: Ref, rows: int, channels: int, box: Box) -> Int64s:
    """How far each value of the box's rows lies below the row's maximum, 0 to 255."""
    values = memory.read(ref, rows * channels, "int8").reshape(rows, channels)[box.r0 : box.r1].astype(np.int64)
    below: Int64s = values.max(axis=1, keepdims=True) - values
    return below


def _store(memory: Memory, ref: Ref, rows: int, box: Box, result: npt.NDArray[np.int64]) -> None:
    channels = result.shape[1]
    memory.view(ref, rows * channels, "int8").reshape(rows, channels)[box.r0 : box.r1] = result
