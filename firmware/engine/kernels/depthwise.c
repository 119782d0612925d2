/* DEPTHWISE_CONV_2D. Weights are [kh][kw][oc]; output channel c reads input channel c / (oc / ic). */
#include "arithmetic.h"
#include "kernels.h"
#include "window.h"

hil_status hil_check_depthwise(const hil_limits *limits, const hil_depthwise *r, hil_extent *extent)
{
    uint64_t in, out, weights;
    const int32_t in_sizes[4] = {r->batch, r->ih, r->iw, r->ic};
    const int32_t out_sizes[4] = {r->batch, r->oh, r->ow, r->oc};
    const int32_t weight_sizes[3] = {r->oc, r->kh, r->kw};
    if (!hil_sizes(in_sizes, 4, &in) || !hil_sizes(out_sizes, 4, &out) || !hil_sizes(weight_sizes, 3, &weights) ||
        r->oc % r->ic != 0 || !hil_axis_ok(r->ih, r->oh, r->kh, r->stride_h, r->dilation_h, r->pad_top) ||
        !hil_axis_ok(r->iw, r->ow, r->kw, r->stride_w, r->dilation_w, r->pad_left) || !hil_int8_ok(r->in_zp) ||
        !hil_int8_ok(r->out_zp) || !hil_int8_ok(r->lo) || !hil_int8_ok(r->hi) ||
        !hil_readable(limits, r->in, in, 1u) || !hil_writable(limits, r->out, out, 1u) ||
        !hil_readable(limits, r->weights, weights, 1u) ||
        !hil_readable(limits, r->params, (uint64_t)r->oc * sizeof(hil_channel), 4u)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)(r->batch * r->oh), (uint32_t)r->oc, false};
    return HIL_OK;
}

/* One channel of a pixel: the sum over rows x columns taps, of which the first is read at `x` and `w`. */
static int32_t taps(const hil_depthwise *r, const int8_t *x, const int8_t *w, int32_t rows, int32_t columns)
{
    const uint32_t next_x = (uint32_t)r->dilation_w * (uint32_t)r->ic;
    const uint32_t next_w = (uint32_t)r->oc;
    const uint32_t next_row_x = (uint32_t)r->dilation_h * (uint32_t)(r->iw * r->ic);
    const uint32_t next_row_w = (uint32_t)(r->kw * r->oc);
    int32_t sum = 0;
    for (uint32_t ky = 0; ky < (uint32_t)rows; ky++) {
        for (uint32_t kx = 0; kx < (uint32_t)columns; kx++) {
            sum = hil_add(sum, (x[ky * next_row_x + kx * next_x] - r->in_zp) * w[ky * next_row_w + kx * next_w]);
        }
    }
    return sum;
}

/* Channels [c0, c1) of a pixel whose window lies inside the input and whose channels map one to one. */
static void inside(const hil_depthwise *r, const int8_t *x, const int8_t *weights, const hil_channel *channel,
                   int8_t *out, const hil_box *box)
{
    const uint32_t next_x = (uint32_t)r->dilation_w * (uint32_t)r->ic;
    const uint32_t next_row = (uint32_t)r->dilation_h * (uint32_t)(r->iw * r->ic) - (uint32_t)r->kw * next_x;
    const uint32_t next_w = (uint32_t)r->oc;
    for (uint32_t c = box->c0; c < box->c1; c++) {
        uint32_t at = c;
        const int8_t *w = weights + c;
        int32_t sum = channel[c].folded;
        for (int32_t ky = r->kh; ky > 0; ky--) {
            for (int32_t kx = r->kw; kx > 0; kx--) {
                sum = hil_add(sum, x[at] * *w);
                at += next_x;
                w += next_w;
            }
            at += next_row;
        }
        sum = hil_requantise(sum, channel[c].multiplier, channel[c].shift);
        out[c] = (int8_t)hil_clamp(sum, r->out_zp, r->lo, r->hi);
    }
}

/* Channels [c0, c1) of any pixel. */
static void outside(const hil_depthwise *r, const int8_t *input, uint32_t at, const int8_t *weights,
                    const hil_channel *channel, int8_t *out, const hil_box *box, hil_taps ty, hil_taps tx)
{
    const uint32_t copies = (uint32_t)(r->oc / r->ic);
    const uint32_t row = (uint32_t)r->dilation_h * (uint32_t)(r->iw * r->ic);
    at += (uint32_t)ty.from * row + (uint32_t)tx.from * (uint32_t)r->dilation_w * (uint32_t)r->ic;
    const uint32_t first = (uint32_t)(ty.from * r->kw + tx.from) * (uint32_t)r->oc;
    uint32_t source = box->c0 / copies;
    uint32_t left = copies - (box->c0 - source * copies);
    const bool any = ty.to > ty.from && tx.to > tx.from;
    for (uint32_t c = box->c0; c < box->c1; c++) {
        int32_t sum = channel[c].bias;
        if (any) {
            const int8_t *w = weights + (first + c);
            sum = hil_add(sum, taps(r, input + (at + source), w, ty.to - ty.from, tx.to - tx.from));
        }
        sum = hil_requantise(sum, channel[c].multiplier, channel[c].shift);
        out[c] = (int8_t)hil_clamp(sum, r->out_zp, r->lo, r->hi);
        left--;
        if (left == 0u) {
            left = copies;
            source++;
        }
    }
}

void hil_run_depthwise(const hil_memory *memory, const hil_depthwise *r, const hil_box *box)
{
    const int8_t *input = (const int8_t *)hil_at(memory, r->in);
    const int8_t *weights = (const int8_t *)hil_at(memory, r->weights);
    const hil_channel *channels = (const hil_channel *)(const void *)hil_at(memory, r->params);
    int8_t *out = (int8_t *)hil_into(memory, r->out) + box->r0 * (uint32_t)(r->ow * r->oc);
    uint32_t image = box->r0 / (uint32_t)r->oh;
    int32_t y = (int32_t)(box->r0 - image * (uint32_t)r->oh);
    for (uint32_t row = box->r0; row < box->r1; row++) {
        const int32_t top = y * r->stride_h - r->pad_top;
        const hil_taps ty = hil_taps_inside(top, r->ih, r->kh, r->dilation_h);
        const uint32_t first = image * (uint32_t)r->ih + (uint32_t)top;
        int32_t left = -r->pad_left;
        for (int32_t x = 0; x < r->ow; x++) {
            const hil_taps tx = hil_taps_inside(left, r->iw, r->kw, r->dilation_w);
            const uint32_t at = (first * (uint32_t)r->iw + (uint32_t)left) * (uint32_t)r->ic;
            if (r->ic == r->oc && ty.to - ty.from == r->kh && tx.to - tx.from == r->kw) {
                inside(r, input + at, weights, channels, out, box);
            } else {
                outside(r, input, at, weights, channels, out, box, ty, tx);
            }
            left += r->stride_w;
            out += r->oc;
        }
        y++;
        if (y == r->oh) {
            y = 0;
            image++;
        }
    }
}
