"""CONV_2D and FULLY_CONNECTED: `reference_integer_ops::ConvPerChannel` and `FullyConnected`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hil.plan.kernels.channels import finish
from hil.plan.kernels.reach import reach
from hil.plan.kernels.window import Axis, windows
from hil.plan.records import Box, Extent, Memory, Record, Ref, Work

_COPIED_WINDOW = 144
"""WINDOW of conv.c, in bytes."""


@dataclass(frozen=True)
class Conv(Record):
    """int8 convolution. Weights are [oc][kh][kw][ic / groups]; `params` is a `Channel` for each of oc.

    A fully connected layer is one pixel a row: ih = iw = kh = kw = oh = ow = 1. Rows of a box are batch * oh.

    `in_rows` and `out_rows` are rows of storage: row y (of batch * height) lies at y % in_rows, y % out_rows. Fewer
    than all are a ring, whose box must find all rows that its windows read; for batch 1 only.
    """

    KIND: ClassVar[int] = 1
    COST: ClassVar[str] = "conv"
    NAME: ClassVar[str] = "conv"

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
    groups: int
    in_zp: int
    out_zp: int
    lo: int
    hi: int
    weight_zp: int
    in_rows: int
    out_rows: int

    def extent(self) -> Extent:
        return Extent(self.batch * self.oh, self.oc)

    def work(self, box: Box) -> Work:
        """Counts of the paths that conv.c takes for each pixel: `inside`, `conv_copied` or `outside`.

        `extra`: with groups, it divides at each pixel.
        """
        rows, count, depth = box.r1 - box.r0, box.c1 - box.c0, self.ic // self.groups
        pixels, window = rows * self.ow, self.kh * self.kw * depth
        vertical, horizontal = self.axes()
        rows_in, whole_rows = reach(vertical, box.r0, box.r1, self.in_rows)
        columns_in, whole_columns = reach(horizontal, 0, self.ow)
        plain = self.groups == 1 and self.weight_zp == 0
        small = plain and window <= _COPIED_WINDOW
        thin = small and (self.kh - 1) * min(count, _COPIED_WINDOW) * 2 > window
        direct = plain and self.dilation_h == 1 and self.dilation_w == 1 and not thin
        inside = whole_rows * whole_columns if direct else 0
        copied = pixels - inside if small else 0
        pairs, joined = (count + 1) // 2, self.dilation_w == 1 and self.groups == 1
        taps = rows_in * columns_in - inside * self.kh * self.kw
        pieces = rows_in * self.ow - inside * self.kh if joined else taps
        slow = 0 if small else count
        return Work(
            macs=pixels * count * window, outputs=pixels * count, rows=rows, pixels=pixels,
            fast=(inside + copied) * pairs,
            turns=(inside + copied) * pairs * window,
            runs=(inside * self.kh + copied) * pairs,
            slow=(pixels - inside) * slow, slow_turns=taps * depth * slow, slow_runs=pieces * slow,
            gathered=copied * window, pieces=pieces if small else 0,
            extra=pixels if self.groups > 1 else 0,
        )  # fmt: skip

    def idle(self) -> frozenset[str]:
        """Only small windows that may be cut by a border or have several rows are copied (see conv.c)."""
        window = self.kh * self.kw * self.ic
        single = self.kh == 1 and self.kw == 1 and self.dilation_h == 1 and self.dilation_w == 1
        inside = single and not (self.pad_top or self.pad_left) and self.oh <= self.ih and self.ow <= self.iw
        if inside or self.groups != 1 or self.weight_zp != 0 or window > _COPIED_WINDOW:
            return frozenset({"conv_copied"})
        return frozenset()

    def axes(self) -> tuple[Axis, Axis]:
        """The window's vertical and horizontal walk."""
        return (
            Axis(self.ih, self.oh, self.kh, self.stride_h, self.dilation_h, self.pad_top),
            Axis(self.iw, self.ow, self.kw, self.stride_w, self.dilation_w, self.pad_left),
        )

    def run(self, memory: Memory, box: Box) -> None:
        depth, group_size = self.ic // self.groups, self.oc // self.groups
        image = memory.read(self.input, self.in_rows * self.iw * self.ic, "int8")
        image = image.reshape(self.in_rows, self.iw, self.ic)
        shape = (self.oc, self.kh, self.kw, depth)
        weights = memory.read(self.weights, int(np.prod(shape)), "int8").reshape(shape).astype(np.float64)
        weights -= self.weight_zp
        rows = np.arange(box.r0, box.r1, dtype=np.int64)
        # Sums of products of bytes are exact in float64, where numpy has a fast matrix product.
        total = np.zeros((box.r1 - box.r0, self.ow, box.c1 - box.c0))
        for ky, kx, values in windows(image, rows, *self.axes(), self.in_zp):
            centred = values - self.in_zp
            for group in range(box.c0 // group_size, (box.c1 - 1) // group_size + 1):
                c0, c1 = max(box.c0, group * group_size), min(box.c1, (group + 1) * group_size)
                part = centred[:, :, group * depth : (group + 1) * depth]
                total[:, :, c0 - box.c0 : c1 - box.c0] += part @ weights[c0:c1, ky, kx].T
        out = memory.view(self.out, self.out_rows * self.ow * self.oc, "int8").reshape(-1, self.ow, self.oc)
        channels = slice(box.c0, box.c1)
        out[rows % self.out_rows, :, channels] = finish(
            memory, self.params, channels, total, out_zp=self.out_zp, limits=(self.lo, self.hi)
        )
