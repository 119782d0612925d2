"""SoftmaxFloat and LogSoftmaxFloat: the two kernels of the engine that compute with floating-point numbers.

The reference (`reference_ops::Softmax`, `reference_ops::LogSoftmax`) uses the C library's `expf` and `logf`; results
agree with it to 1e-6 relative, for maximum, sum and quotient are computed in its order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hil.plan.records import Box, Extent, Memory, Record, Ref, Work

Floats = npt.NDArray[np.float32]
_LEAST = np.finfo(np.float32).min


@dataclass(frozen=True)
class SoftmaxFloat(Record):
    """float32 softmax over the channels; `beta` is a float32's bits.

    A NaN makes its row NaN; so does a positive infinity, or a row of nothing but negative infinities.
    """

    KIND: ClassVar[int] = 15
    COST: ClassVar[str] = "softmax_float"
    NAME: ClassVar[str] = "softmax_float"

    input: Ref
    out: Ref
    rows: int
    channels: int
    beta: int

    def extent(self) -> Extent:
        return Extent(self.rows, self.channels, whole_channels=True)

    def work(self, box: Box) -> Work:
        rows, count = box.r1 - box.r0, box.c1 - box.c0
        return Work(0, rows * count, rows=rows, fast=rows * count)

    def may_overwrite(self) -> tuple[Ref, ...]:
        return (self.input,)

    def run(self, memory: Memory, box: Box) -> None:
        beta = np.array([self.beta], np.int32).view(np.float32)[0]
        with np.errstate(all="ignore"):
            exps = _exp(_below_maximum(memory, self.input, self.rows, self.channels, box) * beta)
            result = exps / _sum(exps)
        _store(memory, self.out, self.rows, box, result)


@dataclass(frozen=True)
class LogSoftmaxFloat(Record):
    """float32 log-softmax over the channels; a NaN, or a positive infinity, makes its row NaN."""

    KIND: ClassVar[int] = 16
    COST: ClassVar[str] = "softmax_float"
    NAME: ClassVar[str] = "log_softmax_float"

    input: Ref
    out: Ref
    rows: int
    channels: int

    def extent(self) -> Extent:
        return Extent(self.rows, self.channels, whole_channels=True)

    def work(self, box: Box) -> Work:
        rows, count = box.r1 - box.r0, box.c1 - box.c0
        return Work(0, rows * count, rows=rows, slow=rows * count)

    def may_overwrite(self) -> tuple[Ref, ...]:
        return (self.input,)

    def run(self, memory: Memory, box: Box) -> None:
        with np.errstate(all="ignore"):
            below = _below_maximum(memory, self.input, self.rows, self.channels, box)
            log_sum = np.log(_sum(_exp(below)).astype(np.float64)).astype(np.float32)
            result = below - log_sum
        _store(memory, self.out, self.rows, box, result)


def _below_maximum(memory: Memory, ref: Ref, rows: int, channels: int, box: Box) -> Floats:
    """The values of the box's rows less their row's maximum; like the reference's maximum, it passes over NaNs."""
    values = memory.read(ref, rows * channels, "float32").reshape(rows, channels)[box.r0 : box.r1].astype(np.float32)
    most = np.fmax.reduce(values, axis=1, keepdims=True, initial=_LEAST)
    return values - most


def _exp(values: Floats) -> Floats:
    return np.exp(values.astype(np.float64)).astype(np.float32)


def _sum(values: Floats) -> Floats:
    """The sum over each row, rounded after every step, first to last."""
    return np.add.accumulate(values, axis=1, dtype=np.float32)[:, -1:]


def _store(memory: Memory, ref: Ref, rows: int, box: Box, result: Floats) -> None:
    channels = result.shape[1]
    memory.view(ref, rows * channels, "float32").reshape(rows, channels)[box.r0 : box.r1] = result
