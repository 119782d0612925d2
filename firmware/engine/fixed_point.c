#include "fixed_point.h"

#include "arithmetic.h"

static int32_t times(int32_t a, int32_t b)
{
    return hil_requantise(a, b, 0);
}

static int32_t add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

static int32_t subtract(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a - (uint32_t)b);
}

/* x * 2^bits, saturated; bits from 0 to 31. */
static int32_t shift_left(int32_t x, uint32_t bits)
{
    const int32_t shifted = (int32_t)((uint32_t)x << bits);
    if ((shifted >> bits) == x) {
        return shifted;
    }
    return x < 0 ? INT32_MIN : INT32_MAX;
}

/* (a + b) / 2, halves away from zero, without the carry leaving 32 bits. */
static int32_t half_sum(int32_t a, int32_t b)
{
    const int32_t floor = (a & b) + ((a ^ b) >> 1);
    return floor + (((a ^ b) & 1) & (floor >= 0 ? 1 : 0));
}

/* x / 64 to the nearest, halves away from zero. */
static int32_t divide_by_64(int32_t x)
{
    const int32_t twice = add(x, x >> 31) >> 5;
    return (twice >> 1) + (twice & 1);
}

uint32_t hil_leading_zeros(uint32_t x)
{
    uint32_t zeros = 32;
    for (; x != 0u; x >>= 1) {
        zeros--;
    }
    return zeros;
}

int32_t hil_reciprocal_of_one_plus(int32_t a)
{
    const int32_t half = half_sum(a, INT32_MAX);
    int32_t x = add(1515870810, times(half, -1010580540)); /* 48/17 - 32/17 half, in Q2 */
    for (uint32_t i = 0; i < 3u; i++) {                        /* Newton-Raphson */
        const int32_t error = subtract(1 << 29, times(half, x));
        x = add(x, shift_left(times(x, error), 2));
    }
    return shift_left(x, 1);
}

int32_t hil_log_of_at_least_one(int32_t x)
{
    const int32_t sqrt_half = 1518500250;
    const int32_t fourth_root_half = 1805811301;
    const int32_t quarter = 1 << 23;
    /* x = 2^n * r with r near 1, by two candidates; powers of two in Q6. */
    const int32_t zeros_a = (int32_t)hil_leading_zeros((uint32_t)x);
    const int32_t mantissa_a = shift_left(times(shift_left(x, (uint32_t)(zeros_a - 1)), sqrt_half), 1);
    const int32_t power_a = (12 - zeros_a) * (1 << 25) + quarter;
    const int32_t zeros_b = (int32_t)hil_leading_zeros((uint32_t)times(x, sqrt_half)) - 1;
    const int32_t mantissa_b = shift_left(x, (uint32_t)zeros_b);
    const int32_t power_b = (12 - zeros_b) * (1 << 25) - quarter;
    const int32_t r = mantissa_a < mantissa_b ? mantissa_a : mantissa_b;
    const int32_t power = power_a > power_b ? power_a : power_b;
    /* log r as a rational function. */
    const int32_t p = half_sum(r, fourth_root_half);
    int32_t q = subtract(r, fourth_root_half);
    q = add(q, q);
    const int32_t square = times(q, q);
    const int32_t numerator = add(times(q, r), times(times(q, square), 117049297));
    const int32_t slope = add(add(1057819769, q), times(square, 127690142));
    const int32_t denominator = add(times(p, slope), times(q, 638450708));
    const int32_t quotient = times(divide_by_64(numerator), hil_reciprocal_of_one_plus(denominator));
    return shift_left(add(times(power, 1488522236), quotient), 1);
}
