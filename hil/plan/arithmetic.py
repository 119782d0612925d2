"""TFLite's fixed-point arithmetic: real multipliers as integers, and their use with the reference's double rounding.

The facts are those of `tensorflow/lite/kernels/internal/quantization_util.cc`, `internal/common.h`, `kernel_util.cc`
and gemmlowp's `fixedpoint.h`, as LiteRT 1.2.0 behaves. Arrays hold int32 values in int64.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hil.model.graph import Activation

INT8_MIN, INT8_MAX = -128, 127
INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1
MAX_SHIFT = 30
"""Largest left shift: beyond it the reference shifts a 32-bit one out of its type, which has no defined result."""

Int64s = npt.NDArray[np.int64]


def float32(value: float) -> float:
    """Rounded to the nearest float32, for the expressions that TFLite computes in `float`."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def round_half_away(value: float) -> int:
    """`TfLiteRound`: to the nearest integer, halves away from zero."""
    whole = math.floor(abs(value))
    whole += abs(value) - whole >= 0.5
    return whole if value >= 0 else -whole


def quantise_multiplier(real: float) -> tuple[int, int]:
    """`QuantizeMultiplier`: `real` (>= 0) as (multiplier, shift), `real = multiplier * 2**(shift - 31)`.

    The multiplier lies in [2^30, 2^31), or is 0; below 2^-32 everything becomes 0. Raises ValueError where the
    shift is larger than `MAX_SHIFT`, or `real` is negative or not finite.
    """
    if not (math.isfinite(real) and real >= 0.0):
        raise ValueError(f"a multiplier of {real} has no fixed-point form")
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = round_half_away(fraction * (1 << 31))
    if multiplier == 1 << 31:
        multiplier, shift = 1 << 30, shift + 1
    if shift < -31:
        return 0, 0
    if shift > MAX_SHIFT:
        raise ValueError(f"a multiplier of {real:g} needs a left shift of {shift} bits (supported: {MAX_SHIFT})")
    return multiplier, shift


def quantise_multiplier_below_one(real: float) -> tuple[int, int]:
    """`QuantizeMultiplierSmallerThanOneExp`: as `quantise_multiplier`; ValueError unless 0 < real < 1, also rounded."""
    if not 0.0 < real < 1.0:
        raise ValueError(f"a multiplier of {real:g} is not between 0 and 1")
    multiplier, shift = quantise_multiplier(real)
    if shift > 0:
        raise ValueError(f"a multiplier of {real!r} rounds up to 1")
    return multiplier, shift


def activation_range(activation: Activation, scale: float, zero_point: int) -> tuple[int, int]:
    """`CalculateActivationRangeQuantized` for int8: (lowest, highest) stored value that a fused activation lets pass.

    Raises ValueError for activations that the reference does not fuse, and where the limit overflows int32.
    """
    if activation not in ("NONE", "RELU", "RELU_N1_TO_1", "RELU6"):
        raise ValueError(f"fused activation {activation} is not supported (supported: NONE, RELU, RELU_N1_TO_1, RELU6)")

    def quantise(real: float) -> int:
        stored = round_half_away(float32(real / scale))
        if not INT32_MIN <= stored <= INT32_MAX:
            raise ValueError(f"the limit {real:g} of activation {activation} overflows with scale {scale:g}")
        return zero_point + stored

    lowest, highest = INT8_MIN, INT8_MAX
    if activation in ("RELU", "RELU6"):
        lowest = max(lowest, quantise(0.0))
    if activation == "RELU_N1_TO_1":
        lowest = max(lowest, quantise(-1.0))
    if activation in ("RELU6", "RELU_N1_TO_1"):
        highest = min(highest, quantise(6.0 if activation == "RELU6" else 1.0))
    return lowest, highest


def wrap32(values: Int64s) -> Int64s:
    """The low 32 bits as signed numbers: what an int32 that overflows holds."""
    return values.astype(np.int32).astype(np.int64)


def high_multiply(a: Int64s, b: Int64s) -> Int64s:
    """gemmlowp `SaturatingRoundingDoublingHighMul`: round(a * b / 2^31), halves up; -2^31 squared saturates."""
    product: Int64s = (a * b + (1 << 30)) >> 31
    return np.minimum(product, INT32_MAX)


def rounding_shift_right(values: Int64s, bits: Int64s) -> Int64s:
    """gemmlowp `RoundingDivideByPOT`: values / 2^bits (bits 0..31) to the nearest, halves away from zero."""
    mask = (np.int64(1) << bits) - 1
    threshold = (mask >> 1) + (values < 0)
    return (values >> bits) + ((values & mask) > threshold)


def requantise(values: Int64s, multiplier: Int64s | int, shift: Int64s | int) -> Int64s:
    """`MultiplyByQuantizedMultiplier` with double rounding; `multiplier` and `shift` are broadcast (channels last)."""
    shifts = np.asarray(shift, np.int64)
    shifted = wrap32(values << np.maximum(shifts, 0))
    return rounding_shift_right(high_multiply(shifted, np.asarray(multiplier, np.int64)), np.maximum(-shifts, 0))
