#include "arithmetic.h"

/* floor((a * b + 2^30) / 2^31), gemmlowp's SaturatingRoundingDoublingHighMul, for b > -2^31. From four products of
 * 16-bit halves: Cortex-M0+ has no 32 x 32 -> 64 multiplication. No partial sum leaves 32 bits. */
static int32_t high_multiply(int32_t a, int32_t b)
{
    const int32_t ah = a >> 16;
    const int32_t bh = b >> 16;
    const uint32_t al = (uint32_t)a & 0xffffu;
    const uint32_t bl = (uint32_t)b & 0xffffu;
    const int32_t low = (int32_t)al * bh + (int32_t)((al * bl) >> 16);
    const int32_t middle = ah * (int32_t)bl + (low & 0xffff);
    return (int32_t)(2u * (uint32_t)(ah * bh + (low >> 16)) + (uint32_t)((middle + 0x4000) >> 15));
}

static inline int32_t requantise(int32_t x, int32_t multiplier, int32_t shift)
{
    /* The shifts are masked so that channel parameters, which are not checked at load, cannot do harm. */
    if (shift >= 0) {
        return high_multiply((int32_t)((uint32_t)x << (shift & 31)), multiplier);
    }
    return hil_round_shift(high_multiply(x, multiplier), (int32_t)(0u - (uint32_t)shift));
}

int32_t hil_requantise(int32_t x, int32_t multiplier, int32_t shift)
{
    return requantise(x, multiplier, shift);
}

int8_t hil_finish(uint32_t sum, const hil_channel *channel, const hil_range *range)
{
    int32_t value = requantise((int32_t)sum, channel->multiplier, channel->shift);
    if (value < range->lowest) {
        value = range->lowest;
    }
    if (value > range->highest) {
        value = range->highest;
    }
    return (int8_t)(value + range->zero_point);
}
