"""MEAN."""

from __future__ import annotations

import math

import numpy as np

from hil.model.graph import Reducer
from hil.plan.arithmetic import wrap32
from hil.plan.kernels.mean import Mean
from hil.plan.lower.context import Context, Job
from hil.plan.lower.quantised import multiplier, scale_of
from hil.plan.lower.strides import collapse, contiguous, row_dims
from hil.plan.records import Act


def lower_mean(context: Context) -> list[Job]:
    """MEAN (`reduce.cc` PrepareMeanOrSum): constant axes in any order, negative or named twice."""
    context.count((2,))
    options = context.operator.options
    assert isinstance(options, Reducer)
    data, output = context.input(0), context.output()
    rank = len(data.shape)
    if rank == 0:
        context.unsupported("the mean of a scalar is not supported", data)
    axes = _axes(context, rank)
    kept = [axis for axis in range(rank) if axis not in axes]
    shape = tuple(data.shape[axis] for axis in kept)
    context.shape(
        output,
        tuple(1 if axis in axes else size for axis, size in enumerate(data.shape)) if options.keep_dims else shape,
    )
    # Dimensions and input strides of the output: reduced ones are 1 and need no stride.
    strides = contiguous(data.shape)
    sizes = [1 if axis in axes else size for axis, size in enumerate(data.shape)]
    if not options.keep_dims:
        sizes, out_strides = list(shape), [strides[axis] for axis in kept]
    else:
        out_strides = strides
    rows = row_dims(sizes)
    in_row = len(sizes) - rows
    dims, (row_strides,) = collapse(context, sizes[:rows], out_strides[:rows])
    reduced_axes = sorted(axes)
    reduced, (reduced_strides,) = collapse(
        context, [data.shape[axis] for axis in reduced_axes], [strides[axis] for axis in reduced_axes]
    )
    count = math.prod(reduced)
    in_scale, in_zp = scale_of(context, data)
    out_scale, out_zp = scale_of(context, output)
    factor, shift = _with_count(*multiplier(context, in_scale / out_scale, output), count)
    record = Mean(
        input=context.ref(data),
        out=Act(output.index),
        dims=dims, strides=row_strides,
        reduced=(1, *reduced[:-1]), reduced_strides=(0, *reduced_strides[:-1]),
        run_length=reduced[-1], run_stride=reduced_strides[-1],
        width=sizes[-2] if in_row == 2 else 1,
        width_stride=out_strides[-2] if in_row == 2 else 0,
        channels=sizes[-1] if in_row else 1,
        channel_stride=out_strides[-1] if in_row else 0,
        offset=int(wrap32(np.asarray(-count * in_zp, np.int64))),
        multiplier=factor, shift=shift, out_zp=out_zp,
    )  # fmt: skip
    return [context.job(record)]


def _axes(context: Context, rank: int) -> set[int]:
    tensor = context.input(1)
    context.dtype(tensor, "int32")
    if tensor.data is None:
        context.unsupported("axes that are computed are not supported (supported: constants)", tensor)
    axes = [int(axis) for axis in tensor.data.reshape(-1)]
    if any(not -rank <= axis < rank for axis in axes):
        context.malformed(f"axes {axes} of an input with {rank} dimensions", tensor)
    return {axis % rank for axis in axes}


def _with_count(factor: int, shift: int, count: int) -> tuple[int, int]:
    """The multiplier divided by `count`, at the precision that the reference keeps."""
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    return (factor << bits) // count, shift - bits
