/* ADD, SUB and MUL of two int8 tensors, each of which may be repeated along any dimension (stride 0). May run in place
 * on an input that is not repeated: each element is read before its place is written. */
#include "arithmetic.h"
#include "kernels.h"
#include "walk.h"

static hil_status check(const hil_limits *limits, const hil_pair *p, hil_extent *extent)
{
    uint64_t rows, row, last_a = 0, last_b = 0;
    const int32_t inner[2] = {p->width, p->channels};
    const int32_t inner_a[2] = {p->a_width, p->a_channel};
    const int32_t inner_b[2] = {p->b_width, p->b_channel};
    if (!hil_sizes(p->dims, HIL_RANK, &rows) || !hil_sizes(inner, 2u, &row) ||
        !hil_reach(p->dims, p->a_strides, HIL_RANK, &last_a) || !hil_reach(inner, inner_a, 2u, &last_a) ||
        !hil_reach(p->dims, p->b_strides, HIL_RANK, &last_b) || !hil_reach(inner, inner_b, 2u, &last_b) ||
        !hil_readable(limits, p->a, last_a + 1u, 1u) || !hil_readable(limits, p->b, last_b + 1u, 1u) ||
        !hil_writable(limits, p->out, rows * row, 1u) || !hil_int8_ok(p->out_zp) ||
        !hil_int8s_ok(p->a_zp, p->b_zp, p->lo, p->hi)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)rows, (uint32_t)p->channels, false};
    return HIL_OK;
}

/* value * 2^20 times multiplier / 2^31 / 2^-shift, rounded after each division as hil_requantise does it. With
 * |value| <= 255 two 32-bit products are enough for the first. */
static inline int32_t scaled(int32_t value, int32_t multiplier, int32_t shift)
{
    const int32_t high = value * (multiplier >> 11) + ((value * (multiplier & 0x7ff) + 0x400) >> 11);
    return shift < 0 ? hil_round_shift(high, -shift) : high;
}

static void add(const hil_sum *r, const int8_t *a, const int8_t *b, int8_t *out, uint32_t count)
{
    const hil_pair *p = &r->pair;
    for (uint32_t i = 0; i < count; i++) {
        const int32_t x = scaled(*a - p->a_zp, r->a_multiplier, r->a_shift);
        const int32_t y = scaled(*b - p->b_zp, r->b_multiplier, r->b_shift);
        const int32_t total = x + r->sign * y;
        out[i] = (int8_t)hil_clamp(hil_requantise(total, r->multiplier, r->shift), p->out_zp, p->lo, p->hi);
        a += p->a_channel;
        b += p->b_channel;
    }
}

static void multiply(const hil_mul *r, const int8_t *a, const int8_t *b, int8_t *out, uint32_t count)
{
    const hil_pair *p = &r->pair;
    for (uint32_t i = 0; i < count; i++) {
        const int32_t product = (*a - p->a_zp) * (*b - p->b_zp);
        out[i] = (int8_t)hil_clamp(hil_requantise(product, r->multiplier, r->shift), p->out_zp, p->lo, p->hi);
        a += p->a_channel;
        b += p->b_channel;
    }
}

/* Runs `sum` or else `product`, whose pair is `p`, on each run of elements that lie one stride apart. */
static void run(const hil_memory *memory, const hil_pair *p, const hil_sum *sum, const hil_mul *product,
                const hil_box *box)
{
    const int8_t *a = (const int8_t *)hil_at(memory, p->a);
    const int8_t *b = (const int8_t *)hil_at(memory, p->b);
    const uint32_t channels = (uint32_t)p->channels;
    uint32_t runs = (uint32_t)p->width;
    uint32_t length = box->c1 - box->c0;
    if (length == channels && (uint32_t)p->a_width == channels * (uint32_t)p->a_channel &&
        (uint32_t)p->b_width == channels * (uint32_t)p->b_channel) {
        length *= runs;
        runs = 1;
    }
    int8_t *out = (int8_t *)hil_into(memory, p->out) + box->r0 * (uint32_t)p->width * channels + box->c0;
    for (uint32_t row = box->r0; row < box->r1; row++) {
        uint32_t at_a = hil_row_offset(p->dims, p->a_strides, row) + box->c0 * (uint32_t)p->a_channel;
        uint32_t at_b = hil_row_offset(p->dims, p->b_strides, row) + box->c0 * (uint32_t)p->b_channel;
        for (uint32_t i = 0; i < runs; i++) {
            if (sum != (const hil_sum *)0) {
                add(sum, a + at_a, b + at_b, out, length);
            } else {
                multiply(product, a + at_a, b + at_b, out, length);
            }
            at_a += (uint32_t)p->a_width;
            at_b += (uint32_t)p->b_width;
            out += runs == 1u ? (uint32_t)p->width * channels : channels;
        }
    }
}

hil_status hil_check_add(const hil_limits *limits, const hil_sum *r, hil_extent *extent)
{
    if ((r->sign != 1 && r->sign != -1) || r->a_shift < -31 || r->a_shift > 0 || r->b_shift < -31 || r->b_shift > 0) {
        return HIL_BAD_RECORD;
    }
    return check(limits, &r->pair, extent);
}

hil_status hil_check_mul(const hil_limits *limits, const hil_mul *r, hil_extent *extent)
{
    return check(limits, &r->pair, extent);
}

void hil_run_add(const hil_memory *memory, const hil_sum *r, const hil_box *box)
{
    run(memory, &r->pair, r, (const hil_mul *)0, box);
}

void hil_run_mul(const hil_memory *memory, const hil_mul *r, const hil_box *box)
{
    run(memory, &r->pair, (const hil_sum *)0, r, box);
}
