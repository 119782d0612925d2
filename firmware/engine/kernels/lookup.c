/* out[i] = table[in[i] + 128]: every int8 function of one int8 value. May run in place. */
#include "kernels.h"

hil_status hil_check_lookup(const hil_limits *limits, const hil_lookup *r, hil_extent *extent)
{
    uint64_t elements;
    const int32_t sizes[2] = {r->rows, r->channels};
    if (!hil_sizes(sizes, 2, &elements) || !hil_readable(limits, r->in, elements, 1u) ||
        !hil_readable(limits, r->table, 256u, 1u) || !hil_writable(limits, r->out, elements, 1u)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)r->rows, (uint32_t)r->channels, false};
    return HIL_OK;
}

void hil_run_lookup(const hil_memory *memory, const hil_lookup *r, const hil_box *box)
{
    const uint8_t *table = hil_at(memory, r->table);
    uint32_t span = box->c1 - box->c0;
    uint32_t rows = box->r1 - box->r0;
    const uint32_t from = box->r0 * (uint32_t)r->channels + box->c0;
    const uint8_t *in = hil_at(memory, r->in) + from;
    uint8_t *out = hil_into(memory, r->out) + from;
    if (span == (uint32_t)r->channels) { /* whole rows lie one after the other */
        span *= rows;
        rows = 1;
    }
    for (; rows > 0u; rows--) {
        for (uint32_t i = 0; i < span; i++) {
            out[i] = table[in[i] ^ 0x80u];
        }
        in += r->channels;
        out += r->channels;
    }
}
