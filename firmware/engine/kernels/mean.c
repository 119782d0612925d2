/* MEAN: sums over any dimensions, with 1 / count in the multiplier. */
#include "arithmetic.h"
#include "kernels.h"
#include "walk.h"

hil_status hil_check_mean(const hil_limits *limits, const hil_mean *r, hil_extent *extent)
{
    uint64_t rows, row, reduced, run, last = 0;
    const int32_t inner[2] = {r->width, r->channels};
    const int32_t inner_strides[2] = {r->width_stride, r->channel_stride};
    if (!hil_sizes(r->dims, HIL_RANK, &rows) || !hil_sizes(inner, 2u, &row) ||
        !hil_sizes(r->reduced, HIL_RANK, &reduced) || !hil_sizes(&r->run, 1u, &run) ||
        !hil_reach(r->dims, r->strides, HIL_RANK, &last) || !hil_reach(inner, inner_strides, 2u, &last) ||
        !hil_reach(r->reduced, r->reduced_strides, HIL_RANK, &last) || !hil_reach(&r->run, &r->run_stride, 1u, &last) ||
        !hil_readable(limits, r->in, last + 1u, 1u) || !hil_writable(limits, r->out, rows * row, 1u) ||
        !hil_int8_ok(r->out_zp)) {
        return HIL_BAD_RECORD;
    }
    /* Each input element is read once, which also bounds the loops. */
    if (reduced * run > last + 1u || rows * row * (reduced * run) != last + 1u) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)rows, (uint32_t)r->channels, false};
    return HIL_OK;
}

static int32_t sum_of(const hil_mean *r, const int8_t *x, uint32_t outer)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < outer; i++) {
        const int8_t *from = x + hil_row_offset(r->reduced, r->reduced_strides, i);
        uint32_t at = 0;
        for (int32_t k = r->run; k > 0; k--) {
            sum = hil_add(sum, from[at]);
            at += (uint32_t)r->run_stride;
        }
    }
    return sum;
}

void hil_run_mean(const hil_memory *memory, const hil_mean *r, const hil_box *box)
{
    const int8_t *input = (const int8_t *)hil_at(memory, r->in);
    const uint32_t width = (uint32_t)r->width;
    int8_t *out = (int8_t *)hil_into(memory, r->out) + box->r0 * width * (uint32_t)r->channels;
    uint32_t outer = 1;
    for (uint32_t i = 0; i < HIL_RANK; i++) {
        outer *= (uint32_t)r->reduced[i];
    }
    for (uint32_t row = box->r0; row < box->r1; row++) {
        const int8_t *from = input + hil_row_offset(r->dims, r->strides, row);
        for (uint32_t i = 0; i < width; i++) {
            for (uint32_t c = box->c0; c < box->c1; c++) {
                const uint32_t at = i * (uint32_t)r->width_stride + c * (uint32_t)r->channel_stride;
                const int32_t sum = hil_add(sum_of(r, from + at, outer), r->offset);
                const int32_t value = hil_requantise(sum, r->multiplier, r->shift);
                out[c] = (int8_t)hil_clamp(value, r->out_zp, -128, 127);
            }
            out += r->channels;
        }
    }
}
