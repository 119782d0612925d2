#include "window.h"

/* True if an axis with these sizes can be walked. */
static bool axis_ok(int32_t in, int32_t out, int32_t taps, int32_t stride, int32_t dilation, int32_t pad)
{
    if (taps < 1 || stride < 1 || dilation < 1 || pad < 0) {
        return false;
    }
    const int64_t reach = (int64_t)(taps - 1) * dilation; /* from the first tap to the last */
    return reach < (int64_t)1 << 28 && pad <= reach && (int64_t)(out - 1) * stride - pad < in;
}

/* True if `stored` rows can stand for all of `batch` * `size`, of which a window needs `reach` at a time. */
static bool stored_ok(int32_t stored, int32_t batch, int32_t size, int32_t reach)
{
    return stored == batch * size || (batch == 1 && stored >= reach && stored < size);
}

bool hil_slide_ok(const hil_limits *limits, const hil_slide *s, const hil_stored *stored, hil_ref in, hil_ref out,
                  uint32_t bytes, hil_extent *extent)
{
    uint64_t product;
    const int32_t in_sizes[4] = {s->batch, s->ih, s->iw, s->ic};
    const int32_t out_sizes[4] = {s->batch, s->oh, s->ow, s->oc};
    if (!hil_sizes(in_sizes, 4u, &product) || !hil_sizes(out_sizes, 4u, &product) ||
        !axis_ok(s->ih, s->oh, s->kh, s->stride_h, s->dilation_h, s->pad_top) ||
        !axis_ok(s->iw, s->ow, s->kw, s->stride_w, s->dilation_w, s->pad_left) ||
        !stored_ok(stored->in, s->batch, s->ih, (s->kh - 1) * s->dilation_h + 1) ||
        !stored_ok(stored->out, s->batch, s->oh, 1) ||
        !hil_readable(limits, in, (uint32_t)stored->in * (uint32_t)(s->iw * s->ic), 1u) ||
        !hil_writable(limits, out, (uint64_t)bytes * ((uint32_t)stored->out * (uint32_t)(s->ow * s->oc)), bytes)) {
        return false;
    }
    *extent = (hil_extent){(uint32_t)(s->batch * s->oh), (uint32_t)s->oc, false};
    return true;
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

/* How often a ring is full before a row; none needs a division where tensors are whole. A function of its own so that
 * the compiler does not make remainders of it, whose library function nothing else needs. */
__attribute__((noinline)) static uint32_t rounds(uint32_t row, uint32_t stored)
{
    return row < stored ? 0u : row / stored;
}

void hil_sweep_from(hil_sweep *sweep, const hil_slide *slide, uint32_t row)
{
    sweep->row = row;
    sweep->image = row / (uint32_t)slide->oh;
    sweep->y = (int32_t)(row - sweep->image * (uint32_t)slide->oh);
}

void hil_sweep_on(hil_sweep *sweep, const hil_slide *slide, const hil_stored *stored)
{
    const uint32_t next = (uint32_t)slide->dilation_h;
    const uint32_t in = (uint32_t)stored->in;
    const uint32_t out = (uint32_t)stored->out;
    const int32_t top = sweep->y * slide->stride_h - slide->pad_top;
    const hil_taps ty = hil_taps_inside(top, slide->ih, slide->kh, slide->dilation_h);
    const uint32_t before = (uint32_t)ty.from * next;
    uint32_t at = sweep->image * (uint32_t)slide->ih + (uint32_t)top + before; /* the first tap inside */
    at -= rounds(at, in) * in;
    sweep->ty = ty;
    sweep->turn = ty.to;
    sweep->first = at - before;
    if (ty.to > ty.from && at + (uint32_t)(ty.to - 1 - ty.from) * next >= in) {
        sweep->turn = ty.from + 1 + (int32_t)((in - 1u - at) / next);
    }
    sweep->out = (sweep->row - rounds(sweep->row, out) * out) * (uint32_t)(slide->ow * slide->oc);
    sweep->row++;
    sweep->y++;
    if (sweep->y == slide->oh) {
        sweep->y = 0;
        sweep->image++;
    }
}
