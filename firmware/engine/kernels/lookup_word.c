/* out[i] = table[in[i] + 128] with 32-bit results: int8 to float32. */
#include "kernels.h"
#include "words.h"

hil_status hil_check_lookup_word(const hil_limits *limits, const hil_lookup_word *r, hil_extent *extent)
{
    uint64_t elements;
    const int32_t sizes[2] = {r->rows, r->channels};
    if (!hil_sizes(sizes, 2, &elements) || !hil_readable(limits, r->in, elements, 1u) ||
        !hil_readable(limits, r->table, 1024u, 4u) || !hil_writable(limits, r->out, 4u * elements, 4u)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)r->rows, (uint32_t)r->channels, false};
    return HIL_OK;
}

void hil_run_lookup_word(const hil_memory *memory, const hil_lookup_word *r, const hil_box *box)
{
    const hil_word *table = hil_words(hil_at(memory, r->table));
    const uint32_t span = box->c1 - box->c0;
    const uint32_t from = box->r0 * (uint32_t)r->channels + box->c0;
    const uint8_t *in = hil_at(memory, r->in) + from;
    hil_word *out = (hil_word *)(void *)hil_into(memory, r->out) + from;
    for (uint32_t rows = box->r1 - box->r0; rows > 0u; rows--) {
        for (uint32_t i = 0; i < span; i++) {
            out[i] = table[in[i] ^ 0x80u];
        }
        in += r->channels;
        out += r->channels;
    }
}
