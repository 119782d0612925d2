#include "float_math.h"

#include <stdbool.h>

typedef union {
    float value;
    uint32_t bits;
} number;

static const uint64_t LN2_Q40 = 762123384786u;
static const uint64_t LN2_Q56 = 49946518145322874u;
static const uint64_t LN2_SIXTEENTH_Q40 = 47632711549u;

/* 2^(-j/16) in Q31 (unsigned). */
static const uint32_t power[16] = {0x80000000u, 0x7a92be8bu, 0x75606374u, 0x70666f76u, 0x6ba27e65u, 0x6712460bu,
                                   0x62b39509u, 0x5e8451d0u, 0x5a82799au, 0x56ac1f75u, 0x52ff6b55u, 0x4f7a9930u,
                                   0x4c1bf829u, 0x48e1e9bau, 0x45cae0f2u, 0x42d561b4u};

/* The upper half of the product: of two fractions of 2^32, their product as one. */
static uint32_t times(uint32_t a, uint32_t b)
{
    return (uint32_t)(((uint64_t)a * b) >> 32);
}

/* x / 2^bits to the nearest, halves to even; bits from 1. */
static uint32_t round_shift(uint32_t x, uint32_t bits)
{
    if (bits > 32u) {
        return 0;
    }
    const uint32_t half = 1u << (bits - 1u);
    const uint32_t whole = (x >> (bits - 1u)) >> 1;
    const uint32_t rest = x & (half + (half - 1u));
    return whole + (rest > half || (rest == half && (whole & 1u) != 0u) ? 1u : 0u);
}

/* mantissa * 2^(exponent - 31) as a float; the mantissa is not 0, the result not infinite. */
static float assemble(uint32_t mantissa, int32_t exponent)
{
    for (; (mantissa & 0x80000000u) == 0u; mantissa <<= 1) {
        exponent--;
    }
    number result;
    if (exponent > -127) { /* rounding up may carry into the exponent, rightly */
        result.bits = ((uint32_t)(exponent + 126) << 23) + round_shift(mantissa, 8u);
    } else {
        result.bits = round_shift(mantissa, (uint32_t)(-118 - exponent));
    }
    return result.value;
}

/* exp(-x) for x in Q40 up to 2^47: 2^-k * 2^(-j/16) * exp(-g) with g at most a little above log(2)/16. */
static float exp_of_fixed(uint64_t x)
{
    uint32_t k = ((uint32_t)(x >> 31) * 47274u) >> 24; /* Q9 by log2(e) in Q15: right, or one too small */
    uint64_t rest = x - k * LN2_Q40;
    if (rest >= LN2_Q40) {
        rest -= LN2_Q40;
        k++;
    }
    const uint32_t j = ((uint32_t)(rest >> 30) * 23637u) >> 20; /* Q10 by 16 / log(2) in Q10 */
    const uint32_t g = (uint32_t)((rest - j * LN2_SIXTEENTH_Q40) >> 8);
    /* 1 - exp(-g) = g - g^2 (1/2 - g (1/6 - g (1/24 - g / 120))), the next term being below 2^-36. */
    const uint32_t q = 0x80000000u - times(g, 715827883u - times(g, 178956971u - times(g, 35791394u)));
    const uint32_t loss = g - times(g, times(g, q));
    return assemble(power[j] - times(power[j], loss), -(int32_t)k);
}

float hil_exp_of_negative(float x)
{
    const number in = {x};
    const uint32_t size = in.bits & 0x7fffffffu;
    if (size > 0x7f800000u) {
        return x;
    }
    if (size >= 0x42d00000u) { /* from 104 on, less than half of the smallest float */
        return 0.0f;
    }
    const int32_t shift = (int32_t)(size >> 23) - 110; /* mantissa * 2^shift is |x| in Q40 */
    const uint64_t mantissa = (size & 0x7fffffu) | 0x800000u;
    if (shift < -23) { /* |x| < 2^-39 */
        return 1.0f;
    }
    return exp_of_fixed(shift < 0 ? mantissa >> -shift : mantissa << shift);
}

/* n / d in Q56, n < d < 2^25: one bit after the other, for there is no divider. */
static uint64_t quotient(uint32_t n, uint32_t d)
{
    uint64_t q = 0;
    for (uint32_t i = 0; i < 56u; i++) {
        n <<= 1;
        q <<= 1;
        if (n >= d) {
            n -= d;
            q |= 1u;
        }
    }
    return q;
}

float hil_log_of_one_or_more(float x)
{
    number in = {x};
    if ((in.bits & 0x7fffffffu) >= 0x7f800000u) {
        return x;
    }
    if (x < 1.0f) {
        in.bits = 0xff800000u;
        return in.value;
    }
    /* x = 2^k * m with m from sqrt(1/2) to sqrt(2); log m = 2 atanh(s), s = (m - 1) / (m + 1). */
    const uint32_t mantissa = (in.bits & 0x7fffffu) | 0x800000u;
    const bool upper = mantissa > 11863283u;
    const uint32_t one = upper ? 0x1000000u : 0x800000u;
    const uint32_t k = (in.bits >> 23) - 127u + (upper ? 1u : 0u);
    const uint64_t s = quotient(upper ? one - mantissa : mantissa - one, mantissa + one);
    const uint32_t short_s = (uint32_t)(s >> 24);
    const uint32_t z = times(short_s, short_s);
    uint32_t w = times(z, 330382100u);         /* 1/13 */
    w = times(z, 390451572u + w);              /* 1/11 */
    w = times(z, 477218588u + w);              /* 1/9 */
    w = times(z, 613566757u + w);              /* 1/7 */
    w = times(z, 858993459u + w);              /* 1/5 */
    w = times(z, 1431655765u + w);             /* 1/3 */
    const uint64_t log_m = 2u * (s + (((uint64_t)short_s * w) >> 8));
    uint64_t log = k * LN2_Q56 + (upper ? -log_m : log_m);
    if (log == 0u) {
        return 0.0f;
    }
    int32_t exponent = 63 - 56;
    for (; (log >> 63) == 0u; log <<= 1) {
        exponent--;
    }
    /* The bits that do not fit only matter where they break a tie. */
    return assemble((uint32_t)(log >> 32) | ((uint32_t)log != 0u ? 1u : 0u), exponent);
}
