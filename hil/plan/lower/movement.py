"""Operators that move data: TRANSPOSE, CONCATENATION, SPLIT, SPLIT_V, PACK, UNPACK, PAD to COPY and FILL.

int8 and float32 tensors can be moved; the bytes are what the reference gives whatever the values mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import cast

from hil.model.graph import Concatenation, Pack, Tensor, Unpack
from hil.plan.kernels.copy import Copy, Fill
from hil.plan.lower.context import Context, Job
from hil.plan.lower.quantised import not_empty, scale_of
from hil.plan.records import RANK, Act, Blob


@dataclass(frozen=True)
class Walk:
    """A rectangle of elements on both sides: its shape, and for either side strides and first place, in elements."""

    shape: tuple[int, ...]
    in_strides: tuple[int, ...]
    out_strides: tuple[int, ...]
    in_start: int = 0
    out_start: int = 0


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """How many elements lie between neighbours along each dimension of a dense tensor."""
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def unit_of(context: Context, *tensors: Tensor) -> int:
    """Bytes of an element; refuses tensors of different types, other types than int8 and float32, and empty ones."""
    not_empty(context, *tensors)
    for tensor in tensors:
        context.dtype(tensor, "int8", "float32")
        if tensor.dtype != tensors[0].dtype:
            context.malformed(f"type {tensor.dtype} where the other side has {tensors[0].dtype}", tensor)
    return 1 if tensors[0].dtype == "int8" else 4


def renamed(tensor: Tensor) -> Act | Blob:
    """The tensor as what an operator's output is another name for."""
    return Act(tensor.index) if tensor.data is None else Blob(tensor.data.tobytes())


def integers(context: Context, position: int, *, wide: bool = False) -> list[int]:
    """The values of a constant int32 (with `wide`, also int64) input."""
    tensor = context.input(position)
    if tensor.dtype != "int32" and not (wide and tensor.dtype == "int64"):
        context.unsupported(f"type {tensor.dtype} where {'int32 or int64' if wide else 'int32'} is supported", tensor)
    if tensor.data is None:
        context.unsupported("is computed by the model; here only constants are supported", tensor)
    return [int(value) for value in tensor.data.reshape(-1)]


def axis_of(context: Context, axis: int, rank: int) -> int:
    """A non-negative axis of `rank`."""
    if not -rank <= axis < rank:
        context.malformed(f"axis {axis} of a tensor with {rank} dimensions")
    return axis % rank


def move(context: Context, source: Tensor, target: Tensor, walk: Walk) -> Job:
    """The COPY of one rectangle.

    Its rows are batch x height of a 4-D shape, else all dimensions but the last, as far as strides allow to count them
    as one; its channels are the last dimension.
    """
    unit = unit_of(context, source, target)
    axes = list(zip(walk.shape, walk.in_strides, walk.out_strides, strict=True)) or [(1, 0, 0)]
    head = 2 if len(axes) == 4 else len(axes) - 1
    rows = _merged(axes[:head]) or [(1, 0, 0)]
    middle = _merged(axes[head:-1])
    spare = RANK - len(rows) - len(middle) - 1
    if spare < 0:
        context.unsupported(f"shape {list(walk.shape)} needs more than {RANK} strided dimensions")
    dims, in_strides, out_strides = zip(*rows, *[(1, 0, 0)] * spare, *middle, axes[-1], strict=True)
    out = Act(target.index, walk.out_start * unit)
    return context.job(Copy(context.ref(source), out, unit, walk.in_start, dims, in_strides, out_strides))


def _merged(axes: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Neighbouring axes as one where they lie one after the other on both sides, without those of size 1."""
    merged: list[tuple[int, int, int]] = []
    for count, step_in, step_out in axes:
        if count == 1:
            continue
        if merged and merged[-1][1:] == (count * step_in, count * step_out):
            merged[-1] = (merged[-1][0] * count, step_in, step_out)
        else:
            merged.append((count, step_in, step_out))
    return merged


def _same_quantisation(context: Context, one: Tensor, other: Tensor) -> None:
    """Refuse int8 tensors of different scale or zero point, as TFLite does for this operator."""
    if one.dtype == "int8" and scale_of(context, one) != scale_of(context, other):
        context.malformed(f"quantisation differs from that of {one}", other)


def lower_transpose(context: Context) -> list[Job] | Act | Blob:
    """TRANSPOSE (`transpose.cc`); axes may be negative, up to six dimensions."""
    context.count((2,))
    source, target = context.input(0), context.output()
    unit_of(context, source, target)
    rank = len(source.shape)
    order = [axis_of(context, axis, rank) for axis in integers(context, 1)]
    if sorted(order) != list(range(rank)):
        context.malformed(f"axes {order} are no permutation of {rank} dimensions", context.input(1))
    if rank > RANK:
        context.unsupported(f"{rank} dimensions (supported: {RANK})", source)
    shape = tuple(source.shape[axis] for axis in order)
    context.shape(target, shape)
    if [axis for axis in order if source.shape[axis] > 1] == [a for a in range(rank) if source.shape[a] > 1]:
        return renamed(source)
    strides = strides_of(source.shape)
    return [move(context, source, target, Walk(shape, tuple(strides[axis] for axis in order), strides_of(shape)))]


def lower_concatenation(context: Context) -> list[Job] | Act | Blob:
    """CONCATENATION (`concatenation.cc`): one COPY an input; int8 inputs have the output's quantisation."""
    options, target = cast(Concatenation, context.operator.options), context.output()
    context.count(range(1, 1 << 16))
    if options.activation != "NONE":
        context.unsupported(f"fused activation {options.activation} (supported: NONE)")
    sources = [context.input(position) for position in range(len(context.operator.inputs))]
    unit_of(context, *sources, target)
    rank = len(sources[0].shape)
    axis = axis_of(context, options.axis, rank)
    sizes = []
    for source in sources:
        if len(source.shape) != rank or _without(source.shape, axis) != _without(sources[0].shape, axis):
            context.malformed(f"shape does not fit that of {sources[0]} along axis {axis}", source)
        _same_quantisation(context, source, target)
        sizes.append(source.shape[axis])
    context.shape(target, _with(sources[0].shape, axis, sum(sizes)))
    if len(sources) == 1:
        return renamed(sources[0])
    out_strides = strides_of(target.shape)
    return [
        move(
            context, source, target,
            Walk(source.shape, strides_of(source.shape), out_strides, 0, sum(sizes[:k]) * out_strides[axis]),
        )
        for k, source in enumerate(sources)
    ]  # fmt: skip


def lower_split(context: Context) -> list[Job] | Act | Blob:
    """SPLIT (`split.cc`): input 0 is the axis, input 1 what is split, into equal parts."""
    context.count((2,), range(1, 1 << 16))
    source, parts = context.input(1), len(context.operator.outputs)
    axis = axis_of(context, _only(context, 0), len(source.shape))
    if source.shape[axis] % parts:
        context.malformed(f"dimension {axis} does not split into {parts} equal parts", source)
    return _split(context, source, axis, [source.shape[axis] // parts] * parts)


def lower_split_v(context: Context) -> list[Job] | Act | Blob:
    """SPLIT_V (`split_v.cc`): sizes in input 1, one of which may be -1 for the rest; the axis in input 2."""
    context.count((3,), range(1, 1 << 16))
    source, sizes = context.input(0), integers(context, 1, wide=True)
    axis = axis_of(context, _only(context, 2), len(source.shape))
    if len(sizes) != len(context.operator.outputs) or sizes.count(-1) > 1:
        context.malformed(f"sizes {sizes} for {len(context.operator.outputs)} outputs", context.input(1))
    rest = source.shape[axis] - sum(size for size in sizes if size != -1)
    sizes = [rest if size == -1 else size for size in sizes]
    if min(sizes) < 0 or sum(sizes) != source.shape[axis]:
        context.malformed(f"sizes {sizes} are not those of dimension {axis} of {source}", context.input(1))
    return _split(context, source, axis, sizes)


def _only(context: Context, position: int) -> int:
    values = integers(context, position)
    if len(values) != 1:
        context.malformed(f"{len(values)} values where one axis is expected", context.input(position))
    return values[0]


def _split(context: Context, source: Tensor, axis: int, sizes: Sequence[int]) -> list[Job] | Act | Blob:
    targets = [context.output(position) for position in range(len(sizes))]
    unit_of(context, source, *targets)
    in_strides = strides_of(source.shape)
    jobs = []
    for k, (target, size) in enumerate(zip(targets, sizes, strict=True)):
        shape = _with(source.shape, axis, size)
        context.shape(target, shape)
        walk = Walk(shape, in_strides, strides_of(shape), sum(sizes[:k]) * in_strides[axis])
        jobs.append(move(context, source, target, walk))
    return renamed(source) if len(sizes) == 1 else jobs


def lower_pack(context: Context) -> list[Job] | Act | Blob:
    """PACK (`pack.cc`): equal tensors side by side along a new axis."""
    options, target = cast(Pack, context.operator.options), context.output()
    context.count((options.values_count,))
    sources = [context.input(position) for position in range(options.values_count)]
    unit_of(context, *sources, target)
    shape = sources[0].shape
    axis = axis_of(context, options.axis, len(shape) + 1)
    for source in sources:
        if source.shape != shape:
            context.malformed(f"shape differs from that of {sources[0]}", source)
        _same_quantisation(context, source, target)
    context.shape(target, (*shape[:axis], len(sources), *shape[axis:]))
    if len(sources) == 1:
        return renamed(sources[0])
    strides = strides_of(target.shape)
    return [
        move(context, source, target, Walk(shape, strides_of(shape), _without(strides, axis), 0, k * strides[axis]))
        for k, source in enumerate(sources)
    ]


def lower_unpack(context: Context) -> list[Job] | Act | Blob:
    """UNPACK (`unpack.cc`): the slices along an axis, each a tensor without it."""
    options, source = cast(Unpack, context.operator.options), context.input(0)
    context.count((1,), (options.num,))
    targets = [context.output(position) for position in range(options.num)]
    unit_of(context, source, *targets)
    axis = axis_of(context, options.axis, len(source.shape))
    if source.shape[axis] != options.num:
        context.malformed(f"dimension {axis} is not {options.num}, the number of outputs", source)
    shape, strides = _without(source.shape, axis), strides_of(source.shape)
    jobs = []
    for k, target in enumerate(targets):
        context.shape(target, shape)
        _same_quantisation(context, source, target)
        walk = Walk(shape, _without(strides, axis), strides_of(shape), k * strides[axis])
        jobs.append(move(context, source, target, walk))
    return renamed(source) if len(targets) == 1 else jobs


def lower_pad(context: Context) -> list[Job] | Act | Blob:
    """PAD (`pad.cc`): the output is filled with its zero point (float32: 0), then the input copied inside."""
    context.count((2,))
    source, target, table = context.input(0), context.output(), context.input(1)
    unit = unit_of(context, source, target)
    values = integers(context, 1, wide=True)
    rank = len(source.shape)
    if table.shape != (rank, 2) or min(values, default=0) < 0:
        context.malformed(f"paddings {values} are not two numbers for each of {rank} dimensions", table)
    if rank > 5:
        context.unsupported(f"{rank} dimensions (supported: 5)", source)
    before = values[0::2]
    context.shape(target, tuple(n + a + b for n, a, b in zip(source.shape, before, values[1::2], strict=True)))
    if not any(values):
        return renamed(source)
    value = scale_of(context, target)[1] if unit == 1 else 0
    channels = target.shape[-1] * unit
    rows = target.elements * unit // channels
    strides = strides_of(target.shape)
    start = sum(n * stride for n, stride in zip(before, strides, strict=True))
    inside = Walk(source.shape, strides_of(source.shape), strides, 0, start)
    fill = context.job(Fill(Act(target.index), rows, channels, value))
    return [fill, move(context, source, target, inside)]


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def _with(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])
