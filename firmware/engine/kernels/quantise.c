/* float32 to int8 by binary search among 255 thresholds that the host found for scale, zero point and rounding of the
 * reference. A float's bits, the lower 31 inverted where it is negative, are integers of the same order. */
#include "kernels.h"
#include "words.h"

hil_status hil_check_quantise(const hil_limits *limits, const hil_quantise *r, hil_extent *extent)
{
    uint64_t elements;
    const int32_t sizes[2] = {r->rows, r->channels};
    if (!hil_sizes(sizes, 2, &elements) || !hil_readable(limits, r->in, 4u * elements, 4u) ||
        !hil_readable(limits, r->thresholds, 4u * 255u, 4u) || !hil_writable(limits, r->out, elements, 1u)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)r->rows, (uint32_t)r->channels, false};
    return HIL_OK;
}

void hil_run_quantise(const hil_memory *memory, const hil_quantise *r, const hil_box *box)
{
    const hil_word *thresholds = hil_words(hil_at(memory, r->thresholds));
    const uint32_t span = box->c1 - box->c0;
    const uint32_t from = box->r0 * (uint32_t)r->channels + box->c0;
    const hil_word *in = hil_words(hil_at(memory, r->in)) + from;
    uint8_t *out = hil_into(memory, r->out) + from;
    for (uint32_t rows = box->r1 - box->r0; rows > 0u; rows--) {
        for (uint32_t i = 0; i < span; i++) {
            const uint32_t bits = in[i];
            const int32_t key = (int32_t)((bits & 0x80000000u) != 0u ? bits ^ 0x7fffffffu : bits);
            uint32_t below = 0; /* thresholds that are known to be at most the key */
            for (uint32_t step = 128; step > 0u; step >>= 1) {
                if ((int32_t)thresholds[below + step - 1u] <= key) {
                    below += step;
                }
            }
            out[i] = (uint8_t)(below ^ 0x80u);
        }
        in += r->channels;
        out += r->channels;
    }
}
