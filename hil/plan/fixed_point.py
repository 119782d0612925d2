"""gemmlowp's fixed-point functions (`fixedpoint.h`), as TFLite's integer softmaxes use them. Arrays of int64.

Q`m` is a number with `m` integer bits in an int32: real = raw / 2^(31 - m).
"""

from __future__ import annotations

import numpy as np

from hil.plan.arithmetic import INT32_MAX, INT32_MIN, Int64s, high_multiply, rounding_shift_right, wrap32

ONE = INT32_MAX
"""1.0 in Q0, saturated."""


def shift_left_saturating(values: Int64s, bits: int) -> Int64s:
    """`SaturatingRoundingMultiplyByPOT` for a positive exponent."""
    clipped: Int64s = np.clip(values << bits, INT32_MIN, INT32_MAX)
    return clipped


def _shift(values: Int64s, bits: int) -> Int64s:
    return rounding_shift_right(values, np.asarray(bits, np.int64))


def _times(values: Int64s, constant: int) -> Int64s:
    return high_multiply(values, np.asarray(constant, np.int64))


def exp_of_negative(values: Int64s) -> Int64s:
    """`exp_on_negative_values`: exp of Q5 values that are at most 0, in Q0."""
    quarter = 1 << 24
    inside = (values & (quarter - 1)) - quarter
    result = _exp_near_eighth(shift_left_saturating(inside, 5))
    rest = inside - values
    # exp(-1/4), exp(-1/2), ... exp(-8), exp(-16) in Q0: one factor for each bit of the rest.
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for bit, factor in enumerate(factors):
        result = np.where(rest >> (24 + bit) & 1, _times(result, factor), result)
    return np.where(values == 0, ONE, result)


def _exp_near_eighth(values: Int64s) -> Int64s:
    """`exp_on_interval_between_negative_one_quarter_and_0_excl`: a Taylor polynomial around -1/8, Q0 to Q0."""
    x = values + (1 << 28)
    x2 = high_multiply(x, x)
    x3 = high_multiply(x2, x)
    x4 = high_multiply(x2, x2)
    third = 715827883
    tail = _shift(_times(_shift(x4, 2) + x3, third) + x2, 1)
    eighth = 1895147668  # exp(-1/8)
    return eighth + _times(x + tail, eighth)


def rounding_half_sum(a: Int64s, b: Int64s | int) -> Int64s:
    """`RoundingHalfSum`: (a + b) / 2, halves away from zero."""
    total = a + b
    return np.where(total >= 0, (total + 1) >> 1, -((1 - total) >> 1))


def reciprocal_of_one_plus(values: Int64s) -> Int64s:
    """`one_over_one_plus_x_for_x_in_0_1`: 1 / (1 + x), Q0 to Q0, by three Newton-Raphson steps in Q2."""
    half = rounding_half_sum(values, ONE)
    x = 1515870810 + _times(half, -1010580540)  # 48/17 - 32/17 half
    for _ in range(3):
        error = (1 << 29) - high_multiply(half, x)
        x = wrap32(x + shift_left_saturating(high_multiply(x, error), 2))
    return shift_left_saturating(x, 1)


def leading_zeros(values: Int64s) -> Int64s:
    """Zero bits above the highest one in 32 bits; values from 1 to 2^32 - 1."""
    return 32 - np.frexp(values.astype(np.float64))[1].astype(np.int64)


def log_of_at_least_one(values: Int64s) -> Int64s:
    """`log_x_for_x_greater_than_or_equal_to_1<5>`: the logarithm of Q12 values that are at least 1, in Q5.

    The value is 2^n * r with r near 1, chosen from two candidates; log r is a rational function of r. The
    intermediate format of the power of two is Q6.
    """
    sqrt_half, fourth_root_half, log_2 = 1518500250, 1805811301, 1488522236
    quarter = 1 << 23
    zeros_a = leading_zeros(values)
    mantissa_a = np.minimum(_times(values << (zeros_a - 1), sqrt_half) << 1, INT32_MAX)
    power_a = ((12 - zeros_a) << 25) + quarter
    zeros_b = leading_zeros(_times(values, sqrt_half)) - 1
    mantissa_b = np.minimum(values << zeros_b, INT32_MAX)
    power_b = ((12 - zeros_b) << 25) - quarter
    r, power = np.minimum(mantissa_a, mantissa_b), np.maximum(power_a, power_b)

    p = rounding_half_sum(r, fourth_root_half)
    q = 2 * (r - fourth_root_half)
    square = high_multiply(q, q)
    alpha_n, alpha_d, alpha_i, alpha_f = 117049297, 127690142, 1057819769, 638450708
    numerator = high_multiply(q, r) + _times(high_multiply(q, square), alpha_n)
    denominator = high_multiply(p, alpha_i + q + _times(square, alpha_d)) + _times(q, alpha_f)
    quotient = high_multiply(_shift(numerator, 6), reciprocal_of_one_plus(denominator))
    return shift_left_saturating(_times(power, log_2) + quotient, 1)
