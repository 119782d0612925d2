"""Quantise: float32 to int8, without a floating-point operation on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hil.plan.records import Box, Extent, Memory, Record, Ref, Work

THRESHOLDS = 255


@dataclass(frozen=True)
class Quantise(Record):
    """`out[i] = -128 + the number of thresholds that are at most key(in[i])`; `rows` x `channels` elements.

    The key of a float32 is its bits as an int32, the lower 31 inverted where it is negative: keys have the order of the
    numbers. `thresholds` holds 255 keys in rising order. Where TFLite's result is undefined, here it saturates: for
    values of 2^31 steps and more, and for NaNs, which count as infinities of their sign.
    The output may not share the input's place: tiles of it lie in other tiles of the input.
    """

    KIND: ClassVar[int] = 12
    COST: ClassVar[str] = "quantise"
    NAME: ClassVar[str] = "quantise"

    input: Ref
    out: Ref
    thresholds: Ref
    rows: int
    channels: int

    def extent(self) -> Extent:
        return Extent(self.rows, self.channels)

    def work(self, box: Box) -> Work:
        return Work(0, (box.r1 - box.r0) * (box.c1 - box.c0), rows=box.r1 - box.r0)

    def run(self, memory: Memory, box: Box) -> None:
        shape, count = (self.rows, self.channels), self.rows * self.channels
        values = memory.read(self.input, count, "float32").reshape(shape)[box.r0 : box.r1, box.c0 : box.c1]
        thresholds = memory.read(self.thresholds, THRESHOLDS, "int32")
        found = np.searchsorted(thresholds, keys(values.astype(np.float32)), side="right")
        memory.view(self.out, count, "int8").reshape(shape)[box.r0 : box.r1, box.c0 : box.c1] = found - 128


def keys(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """float32 values as integers of the same order."""
    bits = np.ascontiguousarray(values).view(np.int32)
    return np.where(bits < 0, bits ^ np.int32(0x7FFF_FFFF), bits)


def floats(ordered: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """The float32 values of keys; the inverse of `keys`."""
    return np.where(ordered < 0, ordered ^ np.int32(0x7FFF_FFFF), ordered).astype(np.int32).view(np.float32)
