"""Functions of one int8 value as tables of all 256: activations, QUANTIZE, DEQUANTIZE; and QUANTIZE from float32.

Every table is computed as the reference of LiteRT 1.2.0 computes each element, in the types that it uses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import numpy.typing as npt

from hil.model.graph import LeakyRelu, Tensor
from hil.plan.arithmetic import (
    INT32_MAX,
    INT32_MIN,
    Int64s,
    float32,
    requantise,
    round_half_away,
)
from hil.plan.kernels.lookup import Lookup
from hil.plan.kernels.lookup_word import LookupWord
from hil.plan.kernels.quantise import THRESHOLDS, Quantise, floats
from hil.plan.lower.context import Context, Job
from hil.plan.lower.quantised import multiplier, not_empty, scale_of
from hil.plan.records import Act, Blob

_ALL: Int64s = np.arange(-128, 128, dtype=np.int64)
"""Every int8 value, in the order of a table."""


def lower_relu(context: Context) -> list[Job]:
    """RELU (`activations.cc` `QuantizedReluX`)."""
    return _relu(context, 0.0, None)


def lower_relu6(context: Context) -> list[Job]:
    """RELU6 (`QuantizedReluX`)."""
    return _relu(context, 0.0, 6.0)


def _relu(context: Context, low: float, high: float | None) -> list[Job]:
    source, target = _sides(context)
    (in_scale, in_zero), (out_scale, out_zero) = scale_of(context, source), scale_of(context, target)

    def limit(real: float) -> int:
        stored = out_zero + round_half_away(float32(real / out_scale))
        if abs(stored) > INT32_MAX:
            context.unsupported(f"the limit {real:g} overflows with scale {out_scale:g}", target)
        return stored

    lowest = max(limit(low), -128)
    highest = 127 if high is None else min(limit(high), 127)
    scaled = _rescale(context, _ALL - in_zero, float32(in_scale / out_scale)) + out_zero
    return _lookup(context, np.minimum(np.maximum(scaled, lowest), highest))


def lower_leaky_relu(context: Context) -> list[Job]:
    """LEAKY_RELU (`QuantizeLeakyRelu`): one multiplier from zero up, another below."""
    source, target = _sides(context)
    (in_scale, in_zero), (out_scale, out_zero) = scale_of(context, source), scale_of(context, target)
    alpha = cast(LeakyRelu, context.operator.options).alpha
    values = _ALL - in_zero
    above = _rescale(context, np.maximum(values, 0), float32(in_scale / out_scale))
    below = _rescale(context, np.minimum(values, 0), float32(float32(in_scale * alpha) / out_scale))
    return _lookup(context, np.where(values >= 0, above, below) + out_zero)


def lower_requantise_or_quantise(context: Context) -> list[Job]:
    """QUANTIZE: from int8 (`reference_ops::Requantize`), or from float32 (`reference_ops::AffineQuantize`)."""
    context.count((1,))
    source, target = context.input(0), context.output()
    not_empty(context, source)
    context.dtype(source, "int8", "float32")
    out_scale, out_zero = scale_of(context, target)
    context.shape(target, source.shape)
    if source.dtype == "float32":
        thresholds = Blob(_thresholds(out_scale, out_zero).astype("<i4").tobytes())
        return [context.job(Quantise(context.ref(source), Act(target.index), thresholds, *_rows(source)))]
    in_scale, in_zero = scale_of(context, source)
    return _lookup(context, _rescale(context, _ALL - in_zero, in_scale / out_scale) + out_zero)


def lower_dequantise(context: Context) -> list[Job]:
    """DEQUANTIZE from int8 (`reference_ops::Dequantize`): the product in double, rounded once."""
    context.count((1,))
    source, target = context.input(0), context.output()
    not_empty(context, source)
    scale, zero = scale_of(context, source)
    context.dtype(target, "float32")
    context.shape(target, source.shape)
    table = Blob((scale * (_ALL - zero)).astype("<f4").tobytes())
    return [context.job(LookupWord(context.ref(source), Act(target.index), table, *_rows(source)))]


def lower_logistic(context: Context) -> list[Job]:
    """LOGISTIC: `1 / (1 + exp(-x))` in float32; the output's scale is 1/256."""
    target = context.output()
    if scale_of(context, target)[0] != 1 / 256:
        context.unsupported("the scale is not 1/256, as TFLite asks", target)

    def logistic(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.float32(1) / (np.float32(1) + _in_double(np.exp, -x))

    return _transformed(context, logistic)


def lower_tanh(context: Context) -> list[Job]:
    """TANH, in float32; any quantisation of the output."""
    return _transformed(context, lambda x: _in_double(np.tanh, x))


def _transformed(context: Context, function: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]) -> list[Job]:
    """A function as TFLite's `PopulateLookupTable` tabulates it: all steps in float32."""
    source, target = _sides(context)
    (in_scale, in_zero), (out_scale, out_zero) = scale_of(context, source), scale_of(context, target)
    with np.errstate(over="ignore"):
        values = function((np.float32(in_scale) * (_ALL - in_zero).astype(np.float32)).astype(np.float32))
        scaled = values * (np.float32(1) / np.float32(out_scale))
    rounded = np.trunc(np.abs(scaled.astype(np.float64)) + 0.5) * np.sign(scaled) + out_zero
    if not np.all(np.abs(rounded) <= INT32_MAX):
        context.unsupported(f"the results overflow with scale {out_scale:g}", target)
    return _lookup(context, rounded.astype(np.int64))


def _in_double(
    function: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]], x: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """A float32 function by way of double: what the C library's float function gives, but for rounding ties."""
    return function(x.astype(np.float64)).astype(np.float32)


def lower_hard_swish(context: Context) -> list[Job]:
    """HARD_SWISH (`HardSwishPrepare`, `reference_ops::HardSwish`): 16-bit fixed point."""
    source, target = _sides(context)
    (in_scale, in_zero), (out_scale, out_zero) = scale_of(context, source), scale_of(context, target)
    fine = in_scale / 128  # a power of two: exact
    out_multiplier, out_shift = _multiplier16(context, float32(fine / out_scale), source)
    relu_multiplier, relu_shift = _multiplier16(context, float32(fine / float32(3 / 32768)), source)
    if out_shift > 0:
        context.unsupported(f"scale {out_scale:g} is too small for an input's scale of {in_scale:g}", target)
    values = _wrap16((_ALL - in_zero) << 7)
    unshifted = _high_multiply16(values, out_multiplier)
    gate = values
    if relu_shift > 0:
        gate = _saturate16(gate << (relu_shift - 1))
    gate = _high_multiply16(gate, relu_multiplier)
    if relu_shift > 0:
        gate = _saturate16(gate << 1)
    elif relu_shift < 0:
        gate = _shift_right16(gate, -relu_shift)
    gate = (gate + (1 << 15)) >> 1
    product = gate * unshifted
    product = np.sign(product) * (np.abs(product) >> 15)
    return _lookup(context, _wrap16(_shift_right16(product, -out_shift) + out_zero))


def _multiplier16(context: Context, real: float, tensor: Tensor) -> tuple[int, int]:
    """`QuantizeMultiplier`, then `DownScaleInt32ToInt16Multiplier`."""
    wide, shift = multiplier(context, real, tensor)
    return min((wide + (1 << 15)) >> 16, 32767), shift


def _high_multiply16(a: Int64s, b: int) -> Int64s:
    """gemmlowp's 16-bit `SaturatingRoundingDoublingHighMul`; `b` is not -2^15."""
    return (a * b + (1 << 14)) >> 15


def _shift_right16(values: Int64s, bits: int) -> Int64s:
    """gemmlowp's 16-bit `RoundingDivideByPOT`, whose mask wraps to -1 from 16 bits on: 0 and above then give 1."""
    mask = _wrap16(np.asarray((1 << bits) - 1))
    return (values >> bits) + ((values & mask) > (mask >> 1) + (values < 0))


def _saturate16(values: Int64s) -> Int64s:
    return np.clip(values, -32768, 32767)


def _wrap16(values: Int64s) -> Int64s:
    return values.astype(np.int16).astype(np.int64)


def _thresholds(scale: float, zero_point: int) -> npt.NDArray[np.int32]:
    """For -127 to 127, the key of the least float32 that is quantised to at least that much; see `Quantise`.

    By bisection over all floats at once. Where none reaches the value, the key is above that of infinity.
    """
    wanted = np.arange(-127, 128)
    infinity = 0x7F80_0000
    low, high = np.full(THRESHOLDS, -infinity - 1, np.int64), np.full(THRESHOLDS, infinity + 1, np.int64)
    for _ in range(33):  # low never reaches, high always does or is beyond infinity
        middle = (low + high) >> 1
        with np.errstate(over="ignore"):
            scaled = (floats(middle.astype(np.int32)) / np.float32(scale)).astype(np.float64)
        stored = np.sign(scaled) * np.floor(np.abs(scaled) + 0.5) + zero_point
        reached = np.clip(stored, -128, 127) >= wanted
        high, low = np.where(reached, middle, high), np.where(reached, low, middle)
    return high.astype(np.int32)


def _rescale(context: Context, values: Int64s, real: float) -> Int64s:
    """`values * real` as `MultiplyByQuantizedMultiplier` rounds it; refused where its 32 bits overflow."""
    scale, shift = multiplier(context, abs(real), context.input(0))
    if real < 0.0:
        # -2^31 fits where 2^31 does not: `QuantizeMultiplier` halves the latter only.
        fraction = round_half_away(math.frexp(real)[0] * (1 << 31))
        scale, shift = (fraction, math.frexp(real)[1]) if fraction == INT32_MIN else (-scale, shift)
    if shift > 0 and np.abs(values).max() << shift > INT32_MAX:
        context.unsupported(f"the scales are a factor of {real:g} apart, which overflows 32 bits", context.output())
    return requantise(values, scale, shift)


def _sides(context: Context) -> tuple[Tensor, Tensor]:
    """Input and output of an operator that works element by element, of one type and shape."""
    context.count((1,))
    source, target = context.input(0), context.output()
    not_empty(context, source)
    context.dtype(source, "int8")
    context.dtype(target, "int8")
    context.shape(target, source.shape)
    return source, target


def _rows(tensor: Tensor) -> tuple[int, int]:
    """Rows and channels of the element-wise kernels: all but the last dimension, and the last one."""
    channels = tensor.shape[-1] if tensor.shape else 1
    return tensor.elements // channels, channels


def _lookup(context: Context, values: Int64s) -> list[Job]:
    source, target = context.input(0), context.output()
    table = Blob(np.clip(values, -128, 127).astype(np.int8).tobytes())
    return [context.job(Lookup(context.ref(source), Act(target.index), table, *_rows(source)))]
