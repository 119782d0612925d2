"""From int32 sums to int8: what a convolution does last, for sums that were added up over several nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hil.plan.kernels.channels import finish
from hil.plan.records import Box, Extent, Memory, Record, Ref, Work


@dataclass(frozen=True)
class Finish(Record):
    """int8 [rows, width, channels] from int32 sums of the same shape; `params` is a `Channel` for each channel.

    The sums are without bias, and already without the input's zero point (see `ConvPartial`). The output may not share
    the input's place: tiles of it lie in other tiles of the input.
    """

    KIND: ClassVar[int] = 19
    COST: ClassVar[str] = "finish"
    NAME: ClassVar[str] = "finish"

    input: Ref
    out: Ref
    params: Ref
    rows: int
    width: int
    channels: int
    out_zp: int
    lo: int
    hi: int

    def extent(self) -> Extent:
        return Extent(self.rows, self.channels)

    def work(self, box: Box) -> Work:
        pixels = (box.r1 - box.r0) * self.width
        return Work(0, pixels * (box.c1 - box.c0), pixels=pixels)

    def run(self, memory: Memory, box: Box) -> None:
        shape, count = (self.rows, self.width, self.channels), self.rows * self.width * self.channels
        rows, channels = slice(box.r0, box.r1), slice(box.c0, box.c1)
        sums = memory.read(self.input, count, "int32").reshape(shape)[rows, :, channels].astype("float64")
        memory.view(self.out, count, "int8").reshape(shape)[rows, :, channels] = finish(
            memory, self.params, channels, sums, out_zp=self.out_zp, limits=(self.lo, self.hi)
        )
