"""A convolution over some of the input channels, whose int32 sums are added up elsewhere and finished by `Finish`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hil.plan.arithmetic import wrap32
from hil.plan.kernels.reach import reach
from hil.plan.kernels.window import Axis, windows
from hil.plan.records import Box, Extent, Memory, Record, Ref, Work


@dataclass(frozen=True)
class ConvPartial(Record):
    """int8 convolution that leaves int32 sums, modulo 2^32. Weights are [oc][kh][kw][ic], their zero point is 0.

    `sums` is what each output channel's sum starts with, an int32 for each of oc: -in_zp * the sum of its weights, so
    that a tap in the padding, which reads in_zp, contributes nothing. `out` is int32 [out_rows, ow, oc]. Rows of a box
    are batch * oh. `in_rows`, `out_rows`: see `Conv`.
    """

    KIND: ClassVar[int] = 18
    COST: ClassVar[str] = "conv_partial"
    NAME: ClassVar[str] = "conv_partial"

    input: Ref
    out: Ref
    weights: Ref
    sums: Ref
    batch: int
    ih: int
    iw: int
    ic: int
    oh: int
    ow: int
    oc: int
    kh: int
    kw: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_left: int
    in_zp: int
    in_rows: int
    out_rows: int

    def extent(self) -> Extent:
        return Extent(self.batch * self.oh, self.oc)

    def work(self, box: Box) -> Work:
        """Counts of the two paths of conv_partial.c: `inside`, two channels at a time, and `any`."""
        rows, count = box.r1 - box.r0, box.c1 - box.c0
        pixels, taps = rows * self.ow, self.kh * self.kw
        vertical, horizontal = self.axes()
        whole_rows = reach(vertical, box.r0, box.r1, self.in_rows)[1]
        direct = self.dilation_h == 1 and self.dilation_w == 1
        inside = whole_rows * reach(horizontal, 0, self.ow)[1] if direct else 0
        fast, slow = inside * ((count + 1) // 2), (pixels - inside) * count
        return Work(
            macs=pixels * count * taps * self.ic, outputs=pixels * count, rows=rows, pixels=pixels,
            fast=fast, turns=fast * taps * self.ic, runs=fast * self.kh,
            slow=slow, slow_turns=slow * taps * self.ic, slow_runs=slow * taps,
        )  # fmt: skip

    def axes(self) -> tuple[Axis, Axis]:
        """The window's vertical and horizontal walk."""
        return (
            Axis(self.ih, self.oh, self.kh, self.stride_h, self.dilation_h, self.pad_top),
            Axis(self.iw, self.ow, self.kw, self.stride_w, self.dilation_w, self.pad_left),
        )

    def run(self, memory: Memory, box: Box) -> None:
        image = memory.read(self.input, self.in_rows * self.iw * self.ic, "int8")
        image = image.reshape(self.in_rows, self.iw, self.ic)
        shape = (self.oc, self.kh, self.kw, self.ic)
        weights = memory.read(self.weights, int(np.prod(shape)), "int8").reshape(shape).astype(np.float64)
        channels = slice(box.c0, box.c1)
        rows = np.arange(box.r0, box.r1, dtype=np.int64)
        # Sums of products of bytes are exact in float64, where numpy has a fast matrix product.
        total = np.zeros((box.r1 - box.r0, self.ow, box.c1 - box.c0))
        for ky, kx, values in windows(image, rows, *self.axes(), self.in_zp):
            total += values @ weights[channels, ky, kx].T
        start = memory.read(self.sums, self.oc, "int32")[channels].astype(np.int64)
        out = memory.view(self.out, self.out_rows * self.ow * self.oc, "int32").reshape(-1, self.ow, self.oc)
        out[rows % self.out_rows, :, channels] = wrap32(total.astype(np.int64) + start)
