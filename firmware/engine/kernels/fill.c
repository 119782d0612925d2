/* Sets bytes to one value: what PAD writes before the copy of its input. */
#include "kernels.h"
#include "words.h"

hil_status hil_check_fill(const hil_limits *limits, const hil_fill *r, hil_extent *extent)
{
    uint64_t elements;
    const int32_t sizes[2] = {r->rows, r->channels};
    if (!hil_sizes(sizes, 2, &elements) || !hil_writable(limits, r->out, elements, 1u)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)r->rows, (uint32_t)r->channels, false};
    return HIL_OK;
}

static void fill_bytes(uint8_t *to, uint32_t value, uint32_t bytes)
{
    for (; bytes > 0u && ((uintptr_t)to & 3u) != 0u; bytes--) {
        *to++ = (uint8_t)value;
    }
    hil_word *words = (hil_word *)(void *)to;
    for (; bytes >= 4u; bytes -= 4u) {
        *words++ = value;
    }
    for (to = (uint8_t *)words; bytes > 0u; bytes--) {
        *to++ = (uint8_t)value;
    }
}

void hil_run_fill(const hil_memory *memory, const hil_fill *r, const hil_box *box)
{
    const uint32_t value = (uint32_t)(uint8_t)r->value * 0x01010101u;
    uint32_t span = box->c1 - box->c0;
    uint32_t rows = box->r1 - box->r0;
    uint8_t *out = hil_into(memory, r->out) + box->r0 * (uint32_t)r->channels + box->c0;
    if (span == (uint32_t)r->channels) { /* whole rows lie one after the other */
        span *= rows;
        rows = 1;
    }
    for (; rows > 0u; rows--) {
        fill_bytes(out, value, span);
        out += r->channels;
    }
}
