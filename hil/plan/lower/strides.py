"""How a kernel walks tensors: rows, columns and channels of the output, and strides of the inputs along them."""

from __future__ import annotations

from collections.abc import Sequence

from hil.plan.lower.context import Context
from hil.plan.records import RANK


def row_dims(shape: Sequence[int]) -> int:
    """How many leading dimensions make up a box's rows: batch and height of 4-D tensors, else all but the last."""
    return 2 if len(shape) == 4 else max(len(shape) - 1, 0)


def contiguous(shape: Sequence[int]) -> list[int]:
    """Strides, in elements, of a tensor that lies in one piece."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return strides[::-1]


def repeated(shape: Sequence[int], out: Sequence[int]) -> list[int]:
    """Strides along `out` of a tensor that is broadcast to it: 0 where it repeats."""
    missing = len(out) - len(shape)
    own = contiguous(shape)
    return [0] * missing + [0 if size == 1 else stride for size, stride in zip(shape, own, strict=True)]


def collapse(
    context: Context, dims: Sequence[int], *strides: Sequence[int]
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Merges neighbours that lie in one piece for every tensor; padded with leading ones to RANK.

    Refused where more than RANK dimensions remain.
    """
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for index, size in enumerate(dims):
        if size == 1:
            continue
        if sizes and all(own[-1] == size * given[index] for own, given in zip(steps, strides, strict=True)):
            sizes[-1] *= size
            for own, given in zip(steps, strides, strict=True):
                own[-1] = given[index]
        else:
            sizes.append(size)
            for own, given in zip(steps, strides, strict=True):
                own.append(given[index])
    if len(sizes) > RANK:
        context.unsupported(f"needs a walk over {len(sizes)} dimensions (supported: {RANK})")
    lead = RANK - len(sizes)
    return (1,) * lead + tuple(sizes), [(0,) * lead + tuple(own) for own in steps]
