/* The place of a message: checked here, read and written by the exchange of the engine's user. */
#include "kernels.h"

hil_status hil_check_transfer(const hil_limits *limits, const hil_transfer *r, hil_extent *extent)
{
    uint64_t all;
    const int32_t sizes[2] = {r->run, r->runs};
    const uint32_t align = r->add != 0 ? 4u : 1u;
    if (!hil_sizes(sizes, 2u, &all) || r->add < 0 || r->add > 1 || r->ring < 1 || r->ring > r->runs ||
        r->stride < 0 || (r->ring > 1 && r->stride < r->run) ||
        (((uint32_t)r->run | (uint32_t)r->stride) & (align - 1u)) != 0u ||
        !hil_writable(limits, r->out, (uint64_t)(r->ring - 1) * (uint64_t)r->stride + (uint64_t)r->run, align)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){0, 0, false};
    return HIL_OK;
}
