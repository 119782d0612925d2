"""DEPTHWISE_CONV_2D: `reference_integer_ops::DepthwiseConvPerChannel`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hil.plan.kernels.channels import finish
from hil.plan.kernels.reach import reach
from hil.plan.kernels.window import Axis, windows
from hil.plan.records import Box, Extent, Memory, Record, Ref, Work


@dataclass(frozen=True)
class Depthwise(Record):
    """int8 depthwise convolution. Weights are [kh][kw][oc]; output channel c reads input channel c // (oc / ic).

    `params` is a `Channel` for each of oc. Rows of a box are batch * oh. `in_rows`, `out_rows`: see `Conv`.
    """

    KIND: ClassVar[int] = 2
    COST: ClassVar[str] = "depthwise"
    NAME: ClassVar[str] = "depthwise"

    input: Ref
    out: Ref
    weights: Ref
    params: Ref
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
    out_zp: int
    lo: int
    hi: int
    in_rows: int
    out_rows: int

    def extent(self) -> Extent:
        return Extent(self.batch * self.oh, self.oc)

    def work(self, box: Box) -> Work:
        """Pixels whose window is three by three and lies inside are `fast`; see depthwise.c. `extra` ones divide."""
        rows, count, taps = box.r1 - box.r0, box.c1 - box.c0, self.kh * self.kw
        pixels = rows * self.ow
        vertical, horizontal = self.axes()
        rows_in, whole_rows = reach(vertical, box.r0, box.r1)
        columns_in, whole_columns = reach(horizontal, 0, self.ow)
        near = self.ic == self.oc and self.kh == 3 and self.kw == 3 and self.dilation_h == 1 and self.dilation_w == 1
        fast = whole_rows * whole_columns if near else 0
        runs, turns = count * (rows_in * self.ow - fast * self.kh), count * (rows_in * columns_in - fast * taps)
        even = self.dilation_w * self.ic == self.oc  # one step for input and weights: the quicker of the two loops
        return Work(
            macs=pixels * count * taps, outputs=pixels * count, rows=rows, pixels=pixels,
            fast=fast * count, slow=(pixels - fast) * count,
            runs=0 if even else runs, turns=0 if even else turns,
            slow_runs=runs if even else 0, slow_turns=turns if even else 0,
            extra=pixels - fast if self.ic != self.oc else 0,
        )  # fmt: skip

    def axes(self) -> tuple[Axis, Axis]:
        """The window's vertical and horizontal walk."""
        return (
            Axis(self.ih, self.oh, self.kh, self.stride_h, self.dilation_h, self.pad_top),
            Axis(self.iw, self.ow, self.kw, self.stride_w, self.dilation_w, self.pad_left),
        )

    def run(self, memory: Memory, box: Box) -> None:
        channels = slice(box.c0, box.c1)
        image = memory.read(self.input, self.in_rows * self.iw * self.ic, "int8")
        image = image.reshape(self.in_rows, self.iw, self.ic)
        image = image[..., np.arange(box.c0, box.c1) // (self.oc // self.ic)]
        weights = memory.read(self.weights, self.kh * self.kw * self.oc, "int8")
        weights = weights.reshape(self.kh, self.kw, self.oc)[..., channels].astype(np.float64)
        rows = np.arange(box.r0, box.r1, dtype=np.int64)
        total = np.zeros((box.r1 - box.r0, self.ow, box.c1 - box.c0))
        for ky, kx, values in windows(image, rows, *self.axes(), self.in_zp):
            total += (values - self.in_zp) * weights[ky, kx]
        out = memory.view(self.out, self.out_rows * self.ow * self.oc, "int8").reshape(-1, self.ow, self.oc)
        out[rows % self.out_rows, :, channels] = finish(
            memory, self.params, channels, total, out_zp=self.out_zp, limits=(self.lo, self.hi)
        )
