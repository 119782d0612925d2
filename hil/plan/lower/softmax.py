"""SOFTMAX and LOG_SOFTMAX over the last axis, on int8 and float32."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import numpy.typing as npt

from hil.model.graph import Softmax as SoftmaxOptions
from hil.model.graph import Tensor
from hil.plan.arithmetic import (
    MAX_SHIFT,
    Int64s,
    quantise_multiplier,
    quantise_multiplier_below_one,
    requantise,
    round_half_away,
    rounding_shift_right,
)
from hil.plan.fixed_point import exp_of_negative
from hil.plan.kernels.softmax import ACCUMULATOR_BITS, MAX_DEPTH, LogSoftmax, Softmax
from hil.plan.kernels.softmax_float import LogSoftmaxFloat, SoftmaxFloat
from hil.plan.lower.context import Context, Job
from hil.plan.lower.quantised import not_empty, scale_of
from hil.plan.records import Act, Blob

_INTEGER_BITS = 5
_MOVING = frozenset({
    "CONCATENATION", "EXPAND_DIMS", "PACK", "PAD", "RESHAPE", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE",
    "TRANSPOSE", "UNPACK",
})  # fmt: skip


def lower_softmax(context: Context) -> list[Job]:
    """SOFTMAX: `reference_ops::Softmax`, on int8 with the output that `SoftmaxPrepare` asks for."""
    source, target, rows, channels = _sides(context)
    beta = cast(SoftmaxOptions, context.operator.options).beta
    if not beta > 0.0:
        context.unsupported(f"beta {beta:g} (supported: above 0)")
    out = Act(target.index)
    if source.dtype == "float32":
        _check_last(context, target)
        bits = int(np.array([beta], np.float32).view(np.int32)[0])
        return [context.job(SoftmaxFloat(context.ref(source), out, rows, channels, bits))]
    out_scale, out_zero = scale_of(context, target)
    if abs(out_scale - 1 / 256) > 0.001 / 256 or out_zero != -128:
        context.unsupported("the quantisation is not scale 1/256, zero point -128, as TFLite asks", target)
    _check_depth(context, source, channels)
    multiplier, shift, radius = _scaling(context, beta * scale_of(context, source)[0], source)
    exps = _exponentials(_scaled(multiplier, shift, radius), radius)
    return [context.job(Softmax(context.ref(source), out, _words(exps), rows, channels))]


def lower_log_softmax(context: Context) -> list[Job]:
    """LOG_SOFTMAX: on int8 `reference_integer_ops::LogSoftmax`, on float32 `reference_ops::LogSoftmax`."""
    source, target, rows, channels = _sides(context)
    out = Act(target.index)
    if source.dtype == "float32":
        _check_last(context, target)
        return [context.job(LogSoftmaxFloat(context.ref(source), out, rows, channels))]
    if scale_of(context, target) != (1 / 16, 127):
        context.unsupported("the quantisation is not scale 1/16, zero point 127, as TFLite asks", target)
    _check_depth(context, source, channels)
    multiplier, shift, radius = _scaling(context, scale_of(context, source)[0], source)
    try:
        reverse, reverse_shift = quantise_multiplier_below_one((1 << (31 - shift)) / multiplier)
    except ValueError as error:
        context.unsupported(f"the scale is out of range: {error}", source)
    scaled = _scaled(multiplier, shift, radius)
    exps = rounding_shift_right(_exponentials(scaled, radius), np.asarray(ACCUMULATOR_BITS))
    record = LogSoftmax(
        context.ref(source), out, _words(exps), _words(scaled), rows, channels, -radius - 1, reverse, reverse_shift
    )
    return [context.job(record)]


def _sides(context: Context) -> tuple[Tensor, Tensor, int, int]:
    """Input, output, rows and channels."""
    context.count((1,))
    source, target = context.input(0), context.output()
    not_empty(context, source)
    context.dtype(source, "int8", "float32")
    context.dtype(target, source.dtype)
    context.shape(target, source.shape)
    if not source.shape:
        context.malformed("has no dimension to take a softmax over", source)
    return source, target, source.elements // source.shape[-1], source.shape[-1]


def _check_last(context: Context, target: Tensor) -> None:
    """Refuse a float32 result, right to 1e-6, that anything computes with; it may only be moved."""
    inexact = {target.index}
    for operator in context.graph.operators[context.operator.index + 1 :]:
        if inexact.isdisjoint(operator.inputs):
            continue
        if operator.kind not in _MOVING:
            context.unsupported(f"is read by {operator}; a softmax in float32 is supported as the last step", target)
        inexact.update(operator.outputs)


def _check_depth(context: Context, source: Tensor, channels: int) -> None:
    if channels > MAX_DEPTH:
        context.unsupported(f"a last dimension of {channels}, whose sum can overflow (supported: {MAX_DEPTH})", source)


def _scaling(context: Context, real: float, source: Tensor) -> tuple[int, int, int]:
    """`PreprocessSoftmaxScaling`, `CalculateInputRadius`: multiplier and shift to Q5, and how far differences count."""
    real = min(real * (1 << (31 - _INTEGER_BITS)), (1 << 31) - 1.0)
    if not real > 1.0:
        context.unsupported("the scale (times beta) is too small: it has to be above 2^-26", source)
    # From 2^30 on the shift is 31: the radius is 0, and nothing but the maximum itself, 0, is ever shifted.
    multiplier, shift = quantise_multiplier(real) if real < 1 << 30 else (round_half_away(real), 31)
    radius = math.floor(((1 << _INTEGER_BITS) - 1) * (1 << (31 - _INTEGER_BITS)) / (1 << shift))
    return multiplier, shift, radius


def _counts(radius: int) -> npt.NDArray[np.bool_]:
    """Which values less their row's maximum count, in the order of the kernels' tables: -255 to 0."""
    return np.arange(-255, 1) >= -radius


def _scaled(multiplier: int, shift: int, radius: int) -> Int64s:
    """All differences in Q5; 0 for those that do not count."""
    counted = np.where(_counts(radius), np.arange(-255, 1, dtype=np.int64), 0)
    return requantise(counted, multiplier, min(shift, MAX_SHIFT))


def _exponentials(scaled: Int64s, radius: int) -> Int64s:
    return np.where(_counts(radius), exp_of_negative(scaled), 0)


def _words(values: Int64s) -> Blob:
    return Blob(values.astype("<i4").tobytes())
