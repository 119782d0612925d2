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
