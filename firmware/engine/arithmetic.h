/* TFLite's fixed-point arithmetic with its double rounding, in 32-bit operations only. */
#ifndef HIL_ARITHMETIC_H
#define HIL_ARITHMETIC_H

#include <stdbool.h>
#include <stdint.h>

/* round(x * multiplier * 2^(shift - 31)) in the two steps of TFLite's MultiplyByQuantizedMultiplier: to the nearest,
 * halves up, then (shift < 0) divided by 2^-shift, halves away from zero. A left shift wraps to 32 bits. Meant for
 * shifts of -31..31 and multipliers above -2^31; any other values give some number. */
int32_t hil_requantise(int32_t x, int32_t multiplier, int32_t shift);

/* Of each output channel: bias, the same with the input's zero point folded in (bias - in_zp * sum of weights), and
 * the multiplier and shift of hil_requantise. */
typedef struct {
    int32_t bias, folded, multiplier, shift;
} hil_channel;

/* What an output may be: zero point, and lowest and highest value before it is added. */
typedef struct {
    int32_t zero_point, lowest, highest;
} hil_range;

static inline hil_range hil_range_of(int32_t zero_point, int32_t lo, int32_t hi)
{
    const hil_range range = {zero_point, lo - zero_point, hi - zero_point};
    return range;
}

/* The output of a channel whose sum of products (with bias) is `sum`. */
int8_t hil_finish(uint32_t sum, const hil_channel *channel, const hil_range *range);

/* value / 2^bits to the nearest, halves away from zero: gemmlowp's RoundingDivideByPOT for bits of 1..31. */
static inline int32_t hil_round_shift(int32_t value, int32_t bits)
{
    const int32_t down = (int32_t)((uint32_t)value + (uint32_t)(value >> 31)); /* halves of negative numbers */
    const int32_t twice = down >> (((uint32_t)bits - 1u) & 31u);
    return (twice >> 1) + (twice & 1);
}

static inline bool hil_int8_ok(int32_t value)
{
    return value >= -128 && value <= 127;
}

/* Four of them at once. */
static inline bool hil_int8s_ok(int32_t a, int32_t b, int32_t c, int32_t d)
{
    return ((((uint32_t)a + 128u) | ((uint32_t)b + 128u)) | (((uint32_t)c + 128u) | ((uint32_t)d + 128u))) < 256u;
}

/* `value + zero_point` within lo..hi; all but `value` are int8, so that nothing overflows. */
static inline int32_t hil_clamp(int32_t value, int32_t zero_point, int32_t lo, int32_t hi)
{
    if (value < lo - zero_point) {
        return lo;
    }
    return value > hi - zero_point ? hi : value + zero_point;
}

/* a + b modulo 2^32. */
static inline int32_t hil_add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

#endif
