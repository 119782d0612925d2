#include "window.h"

bool hil_axis_ok(int32_t in, int32_t out, int32_t taps, int32_t stride, int32_t dilation, int32_t pad)
{
    const int64_t most = (int64_t)1 << 28;
    if (in < 1 || out < 1 || taps < 1 || stride < 1 || dilation < 1 || pad < 0 || in > most) {
        return false;
    }
    const int64_t reach = (int64_t)(taps - 1) * dilation; /* from the first tap to the last */
    return reach < most && pad <= reach && (int64_t)(out - 1) * stride - pad < in;
}

hil_taps hil_taps_inside(int32_t start, int32_t size, int32_t taps, int32_t dilation)
{
    hil_taps inside = {0, taps};
    if (dilation == 1) {
        inside.from = start < 0 ? -start : 0;
        inside.to = size - start < taps ? size - start : taps;
        return inside;
    }
    int32_t last = start + (taps - 1) * dilation;
    while (inside.from < taps && start < 0) {
        start += dilation;
        inside.from++;
    }
    while (inside.to > inside.from && last >= size) {
        last -= dilation;
        inside.to--;
    }
    return inside;
}

bool hil_stored_ok(int32_t stored, int32_t batch, int32_t size, int64_t reach)
{
    return stored == batch * size || (batch == 1 && stored >= 1 && stored < size && stored >= reach);
}

hil_rows hil_rows_of(uint32_t row, const hil_taps *taps, int32_t dilation, int32_t stored)
{
    hil_rows rows = {row, taps->to};
    if (taps->from >= taps->to) {
        return rows;
    }
    const uint32_t next = (uint32_t)dilation;
    const uint32_t size = (uint32_t)stored;
    uint32_t at = row + (uint32_t)taps->from * next;
    if (at >= size) { /* divisions are slow here */
        at %= size;
        rows.first = at - (uint32_t)taps->from * next;
    }
    if (at + (uint32_t)(taps->to - 1 - taps->from) * next >= size) {
        rows.turn = taps->from + (int32_t)((size - 1u - at) / next) + 1;
    }
    return rows;
}
