/* From int32 sums to int8: bias, multiplier, shift and clamp of a convolution whose sums were added up elsewhere. */
#include "arithmetic.h"
#include "kernels.h"
#include "words.h"

hil_status hil_check_finish(const hil_limits *limits, const hil_finish_sums *r, hil_extent *extent)
{
    uint64_t all;
    const int32_t sizes[3] = {r->rows, r->width, r->channels};
    if (!hil_sizes(sizes, 3u, &all) || !hil_int8s_ok(r->out_zp, r->lo, r->hi, 0) ||
        !hil_readable(limits, r->in, all * 4u, 4u) || !hil_writable(limits, r->out, all, 1u) ||
        !hil_readable(limits, r->params, (uint64_t)r->channels * sizeof(hil_channel), 4u)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)r->rows, (uint32_t)r->channels, false};
    return HIL_OK;
}

void hil_run_finish(const hil_memory *memory, const hil_finish_sums *r, const hil_box *box)
{
    const hil_channel *channels = (const hil_channel *)(const void *)hil_at(memory, r->params);
    const hil_range range = hil_range_of(r->out_zp, r->lo, r->hi);
    const uint32_t row = (uint32_t)(r->width * r->channels);
    const hil_word *sums = hil_words(hil_at(memory, r->in)) + box->r0 * row;
    int8_t *out = (int8_t *)hil_into(memory, r->out) + box->r0 * row;
    for (uint32_t pixel = (box->r1 - box->r0) * (uint32_t)r->width; pixel > 0u; pixel--) {
        for (uint32_t c = box->c0; c < box->c1; c++) {
            out[c] = hil_finish(sums[c] + (uint32_t)channels[c].bias, &channels[c], &range);
        }
        sums += r->channels;
        out += r->channels;
    }
}
