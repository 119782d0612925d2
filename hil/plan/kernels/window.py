"""What the window kernels (convolutions and pools) share: which taps of a window read which input position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """One axis of a sliding window: sizes in elements, `pad` positions before the input's first."""

    size: int
    out: int
    taps: int
    stride: int
    dilation: int
    pad: int

    def sources(self, tap: int, outputs: Int64s) -> tuple[Int64s, npt.NDArray[np.bool_]]:
        """Where `tap` reads for each output position, and which of these lie inside the input (others are 0)."""
        at = outputs * self.stride - self.pad + tap * self.dilation
        inside = (at >= 0) & (at < self.size)
        return np.where(inside, at, 0), inside


def windows(
    image: npt.NDArray[np.generic], rows: Int64s, vertical: Axis, horizontal: Axis, fill: int
) -> Iterator[tuple[int, int, npt.NDArray[np.float64]]]:
    """For every tap (ky, kx): what it reads for output rows `rows`, as (rows, out width, channels).

    `image` is (rows in storage, width, channels); row y of image b lies at (b * height + y) % rows in storage, and
    output row r belongs to image r // out height. Outside of the input a tap reads `fill`.
    """
    batch, y = np.divmod(rows, vertical.out)
    columns = np.arange(horizontal.out, dtype=np.int64)
    for ky in range(vertical.taps):
        iy, inside_y = vertical.sources(ky, y)
        places = (batch * vertical.size + iy) % len(image)
        for kx in range(horizontal.taps):
            ix, inside_x = horizontal.sources(kx, columns)
            values = image[places[:, None], ix[None, :]].astype(np.float64)
            values[~(inside_y[:, None] & inside_x[None, :])] = fill
            yield ky, kx, values
