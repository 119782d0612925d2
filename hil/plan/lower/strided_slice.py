"""STRIDED_SLICE: begin, end and stride for each dimension, and five masks that say otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from hil.model.graph import StridedSlice
from hil.plan.lower.context import Context, Job
from hil.plan.lower.movement import Walk, integers, move, renamed, strides_of, unit_of
from hil.plan.records import Act, Blob

_MAX_DIMS = 5


@dataclass(frozen=True)
class _Axis:
    """One dimension of the input, and how it is cut."""

    size: int
    begin: int | None  # None: from the end that the stride starts at
    end: int | None
    last: int = 0  # the end even where its mask is set
    stride: int = 1
    shrink: bool = False

    def start(self) -> int:
        """`StartForAxis`: the first index; beyond the dimension by one where there is none."""
        if self.begin is None:
            return 0 if self.stride > 0 else self.size - 1
        return self._clamped(self.begin)

    def count(self, offset: bool) -> int:
        """How many indices are taken (`StopForAxis` less start); `offset`: the end counts from the start, unmasked."""
        if self.shrink:
            return 1
        start = self.start()
        if offset:
            stop = start + self.last
        elif self.end is None:
            stop = self.size if self.stride > 0 else -1
        else:
            stop = self._clamped(self.end)
        return max(-(-(stop - start) // self.stride), 0)

    def _clamped(self, index: int) -> int:
        index = index + self.size if index < 0 else index
        return min(max(index, 0), self.size) if self.stride > 0 else min(max(index, -1), self.size - 1)


def lower_strided_slice(context: Context) -> list[Job] | Act | Blob:
    """STRIDED_SLICE (`strided_slice.cc`, `strided_slice_logic.h`), up to five dimensions."""
    context.count((4,))
    options, source, target = cast(StridedSlice, context.operator.options), context.input(0), context.output()
    unit_of(context, source, target)
    axes = _axes(context, options)
    shape: list[int] = []
    taken: list[tuple[int, int, int]] = []
    start, places = 0, iter(strides_of(source.shape))
    for axis in axes:
        if axis is None:  # a new one
            shape.append(1)
            continue
        place, first, count = next(places), axis.start(), axis.count(options.offset)
        if axis.shrink and axis.stride < 0:
            context.unsupported(
                "a dimension that is shrunk has a negative stride, for which the reference gives nothing"
            )
        if count < 1:
            context.unsupported("the slice is empty; only non-empty tensors are supported")
        if not (0 <= first < axis.size and 0 <= first + (count - 1) * axis.stride * (count > 1) < axis.size):
            context.malformed(f"the slice reaches outside of a dimension of {axis.size}", source)
        start += first * place
        taken.append((count, axis.stride * place if count > 1 else place, 0))
        if not axis.shrink:
            shape.append(count)
    context.shape(target, tuple(shape))
    counts, in_strides = tuple(t[0] for t in taken), tuple(t[1] for t in taken)
    if counts == source.shape and in_strides == strides_of(source.shape):
        return renamed(source)
    return [move(context, source, target, Walk(counts, in_strides, strides_of(counts), start))]


def _axes(context: Context, options: StridedSlice) -> list[_Axis | None]:
    """The cut of every dimension in order; None is a new one of size 1.

    The ellipsis stands for as many whole dimensions as begin, end and strides leave out; without one, those that are
    left out are the last ones, and whole.
    """
    sizes = list(context.input(0).shape)
    begin, end, strides = (integers(context, position) for position in (1, 2, 3))
    if not len(begin) == len(end) == len(strides) or any(len(context.input(p).shape) != 1 for p in (1, 2, 3)):
        context.malformed("begin, end and strides are not vectors of one length")
    if 0 in strides:
        context.malformed("a stride is 0", context.input(3))
    named = [k for k in range(len(begin)) if not (options.ellipsis_mask | options.new_axis_mask) >> k & 1]
    if options.ellipsis_mask.bit_count() > 1 or (options.ellipsis_mask | options.new_axis_mask) >> len(begin):
        masks = f"ellipsis mask {options.ellipsis_mask:#x} and new axis mask {options.new_axis_mask:#x}"
        context.malformed(f"{masks} for {len(begin)} entries")
    missing = len(sizes) - len(named)
    added = (options.new_axis_mask & ~options.ellipsis_mask).bit_count()
    if missing < 0:
        context.malformed(f"{len(named)} dimensions are cut where there are {len(sizes)}", context.input(0))
    if len(sizes) + added > _MAX_DIMS:
        context.unsupported(f"{len(sizes) + added} dimensions (supported: {_MAX_DIMS})", context.input(0))
    if options.ellipsis_mask and missing == 0:
        context.unsupported("an ellipsis that stands for no dimension, which the reference takes for one")
    if options.offset and not (len(named) == len(begin) == len(sizes) and min(strides) > 0):
        context.unsupported(
            "ends that count from the start are supported where every dimension is cut, forwards, and none is new"
        )
    axes: list[_Axis | None] = []
    left = iter(sizes)
    for k in range(len(begin)):
        if options.ellipsis_mask >> k & 1:
            axes += [_Axis(next(left), None, None) for _ in range(missing)]
            missing = 0
        elif options.new_axis_mask >> k & 1:
            axes.append(None)
        else:
            first = None if options.begin_mask >> k & 1 else begin[k]
            last = None if options.end_mask >> k & 1 else end[k]
            axes.append(_Axis(next(left), first, last, end[k], strides[k], bool(options.shrink_axis_mask >> k & 1)))
    return axes + [_Axis(size, None, None) for size in left]
