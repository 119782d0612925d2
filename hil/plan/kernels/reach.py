"""How many taps of a sliding window lie inside the input, summed over a box: what its cost follows from."""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate

from hil.plan.kernels.window import Axis


@lru_cache(maxsize=4096)
def _sums(axis: Axis, stored: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For the positions before each one: taps that lie inside the input, and windows that do so in one piece."""
    starts = [position * axis.stride - axis.pad for position in range(axis.out)]
    taps = [
        sum(0 <= start + tap * axis.dilation < axis.size for tap in range(axis.taps))
        if start < 0 or start + (axis.taps - 1) * axis.dilation >= axis.size
        else axis.taps
        for start in starts
    ]
    span = (axis.taps - 1) * axis.dilation
    whole = [t == axis.taps and start % stored + span < stored for t, start in zip(taps, starts, strict=True)]
    return tuple(accumulate(taps, initial=0)), tuple(accumulate(whole, initial=0))


def reach(axis: Axis, first: int, end: int, stored: int | None = None) -> tuple[int, int]:
    """Taps inside, and whole windows, of the positions [first, end); these go on from image to image of a batch.

    `stored`: rows of a ring, at whose end a window breaks in two.
    """
    taps, whole = _sums(axis, axis.size if stored is None else min(stored, axis.size))
    images, a = divmod(first, axis.out)
    more, b = divmod(end, axis.out)
    images = more - images
    return taps[b] - taps[a] + images * taps[-1], whole[b] - whole[a] + images * whole[-1]
