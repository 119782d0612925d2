"""Operators that give the same bytes another shape: RESHAPE, SQUEEZE, EXPAND_DIMS. Nothing runs for them."""

from __future__ import annotations

from math import prod
from typing import cast

from hil.model.graph import Reshape, Squeeze
from hil.plan.lower.context import Context
from hil.plan.lower.movement import axis_of, integers, renamed, unit_of
from hil.plan.lower.quantised import scale_of
from hil.plan.records import Act, Blob


def lower_reshape(context: Context) -> Act | Blob:
    """RESHAPE (`reshape.cc`): the shape in input 1, where there is one, wins over the one in the options."""
    context.count((1, 2))
    source, target = context.input(0), context.output()
    unit_of(context, source, target)
    shape: tuple[int, ...]
    if context.has_input(1):
        if len(context.input(1).shape) != 1:
            context.unsupported("is not a vector, which is what a new shape is supported as", context.input(1))
        shape = tuple(integers(context, 1))
    else:
        shape = cast(Reshape, context.operator.options).new_shape or ()
        shape = () if shape == (0,) else shape  # how old files say scalar
    if shape.count(-1) > 1 or min(shape, default=1) < -1 or 0 in shape:
        context.malformed(f"the new shape is {list(shape)}")
    known = prod(size for size in shape if size != -1)
    if source.elements % known:
        context.malformed(f"{source.elements} elements do not fit into shape {list(shape)}", source)
    shape = tuple(source.elements // known if size == -1 else size for size in shape)
    if prod(shape) != source.elements:
        context.malformed(f"{source.elements} elements do not fit into shape {list(shape)}", source)
    context.shape(target, shape)
    return renamed(source)


def lower_squeeze(context: Context) -> Act | Blob:
    """SQUEEZE (`squeeze.cc`): without the given dimensions of size 1, or without all of them."""
    context.count((1,))
    source, target = context.input(0), context.output()
    unit_of(context, source, target)
    rank = len(source.shape)
    axes = {axis_of(context, axis, rank) for axis in cast(Squeeze, context.operator.options).dims}
    if not axes:
        axes = {axis for axis in range(rank) if source.shape[axis] == 1}
    for axis in axes:
        if source.shape[axis] != 1:
            context.malformed(f"dimension {axis}, which is to go, is not 1", source)
    context.shape(target, tuple(size for axis, size in enumerate(source.shape) if axis not in axes))
    return renamed(source)


def lower_expand_dims(context: Context) -> Act | Blob:
    """EXPAND_DIMS (`expand_dims.cc`): a dimension of 1 before the axis in input 1; the quantisation stays."""
    context.count((2,))
    source, target = context.input(0), context.output()
    unit_of(context, source, target)
    values = integers(context, 1, wide=True)
    if len(values) != 1:
        context.malformed(f"{len(values)} values where one axis is expected", context.input(1))
    axis = axis_of(context, values[0], len(source.shape) + 1)
    context.shape(target, (*source.shape[:axis], 1, *source.shape[axis:]))
    if source.dtype == "int8" and scale_of(context, source) != scale_of(context, target):
        context.malformed(f"quantisation differs from that of {source}", target)
    return renamed(source)
