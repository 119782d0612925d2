/* CONV_2D and FULLY_CONNECTED (one pixel a row). Weights are [oc][kh][kw][ic / groups]. Where the whole window lies
 * inside the input, the zero point is folded into the channel's bias; elsewhere it is subtracted from every value. */
#include "arithmetic.h"
#include "kernels.h"
#include "window.h"

hil_status hil_check_conv(const hil_limits *limits, const hil_conv *r, hil_extent *extent)
{
    uint64_t in, out, weights;
    const int32_t in_sizes[4] = {r->batch, r->ih, r->iw, r->ic};
    const int32_t out_sizes[4] = {r->batch, r->oh, r->ow, r->oc};
    if (r->groups < 1 || r->ic % r->groups != 0 || r->oc % r->groups != 0) {
        return HIL_BAD_RECORD;
    }
    const int32_t weight_sizes[4] = {r->oc, r->kh, r->kw, r->ic / r->groups};
    if (!hil_sizes(in_sizes, 4, &in) || !hil_sizes(out_sizes, 4, &out) || !hil_sizes(weight_sizes, 4, &weights) ||
        !hil_axis_ok(r->ih, r->oh, r->kh, r->stride_h, r->dilation_h, r->pad_top) ||
        !hil_axis_ok(r->iw, r->ow, r->kw, r->stride_w, r->dilation_w, r->pad_left) || !hil_int8_ok(r->in_zp) ||
        !hil_int8_ok(r->out_zp) || !hil_int8_ok(r->lo) || !hil_int8_ok(r->hi) || !hil_int8_ok(r->weight_zp) ||
        !hil_readable(limits, r->in, in, 1u) || !hil_writable(limits, r->out, out, 1u) ||
        !hil_readable(limits, r->weights, weights, 1u) ||
        !hil_readable(limits, r->params, (uint64_t)r->oc * sizeof(hil_channel), 4u)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)(r->batch * r->oh), (uint32_t)r->oc, false};
    return HIL_OK;
}

/* Channels [c, end) of one pixel whose window lies inside the input: `rows` runs of `length` values, two channels at
 * a time so that each value is loaded once for both. */
static void inside(const hil_conv *r, const int8_t *x, const int8_t *weights, const hil_channel *channel, int8_t *out,
                   uint32_t c, uint32_t end)
{
    const uint32_t length = (uint32_t)(r->kw * r->ic);
    const uint32_t filter = length * (uint32_t)r->kh;
    const uint32_t step = (uint32_t)(r->iw * r->ic);
    const int8_t *w = weights + c * filter;
    while (c < end) {
        const bool pair = c + 1u < end;
        const int8_t *w0 = w;
        const int8_t *w1 = pair ? w + filter : w;
        int32_t sum0 = 0, sum1 = 0;
        const int8_t *row = x;
        for (int32_t ky = 0; ky < r->kh; ky++) {
            uint32_t i = 0;
            do {
                const int32_t value = row[i];
                sum0 = hil_add(sum0, value * w0[i]);
                sum1 = hil_add(sum1, value * w1[i]);
                i++;
            } while (i < length);
            row += step;
            w0 += length;
            w1 += length;
        }
        sum0 = hil_requantise(hil_add(sum0, channel[c].folded), channel[c].multiplier, channel[c].shift);
        out[c] = (int8_t)hil_clamp(sum0, r->out_zp, r->lo, r->hi);
        c++;
        if (pair) {
            sum1 = hil_requantise(hil_add(sum1, channel[c].folded), channel[c].multiplier, channel[c].shift);
            out[c] = (int8_t)hil_clamp(sum1, r->out_zp, r->lo, r->hi);
            c++;
        }
        w += 2u * filter;
    }
}

/* One output value from the taps that lie inside the input, for any dilation, groups and weight zero point.
 * `at` is the offset of the window's first tap, which may lie in the padding
 * (then it is negative, modulo 2^32; a tap's own offset is not). */
static int32_t clipped(const hil_conv *r, const int8_t *input, uint32_t at, const int8_t *w, hil_taps ty, hil_taps tx)
{
    const int32_t depth = r->ic / r->groups;
    const uint32_t next_row = (uint32_t)r->dilation_h * (uint32_t)(r->iw * r->ic);
    const uint32_t next_tap = (uint32_t)r->dilation_w * (uint32_t)r->ic;
    int32_t sum = 0;
    for (int32_t ky = ty.from; ky < ty.to; ky++) {
        for (int32_t kx = tx.from; kx < tx.to; kx++) {
            const int8_t *x = input + (at + (uint32_t)ky * next_row + (uint32_t)kx * next_tap);
            const int8_t *tap = w + (ky * r->kw + kx) * depth;
            for (int32_t i = 0; i < depth; i++) {
                sum = hil_add(sum, (x[i] - r->in_zp) * (tap[i] - r->weight_zp));
            }
        }
    }
    return sum;
}

/* Channels [c0, c1) of one pixel, any window. */
static void outside(const hil_conv *r, const int8_t *input, uint32_t at, const int8_t *weights,
                    const hil_channel *channel, int8_t *out, const hil_box *box, hil_taps ty, hil_taps tx)
{
    const int32_t depth = r->ic / r->groups;
    const int32_t filter = r->kh * r->kw * depth;
    const uint32_t group_size = (uint32_t)(r->oc / r->groups);
    const uint32_t group = r->groups == 1 ? 0u : box->c0 / group_size;
    const int8_t *w = weights + (int32_t)box->c0 * filter;
    uint32_t next_group = (group + 1u) * group_size;
    at += group * (uint32_t)depth;
    for (uint32_t c = box->c0; c < box->c1; c++) {
        if (c == next_group) {
            at += (uint32_t)depth;
            next_group += group_size;
        }
        const int32_t sum = hil_add(clipped(r, input, at, w, ty, tx), channel[c].bias);
        const int32_t value = hil_requantise(sum, channel[c].multiplier, channel[c].shift);
        out[c] = (int8_t)hil_clamp(value, r->out_zp, r->lo, r->hi);
        w += filter;
    }
}

void hil_run_conv(const hil_memory *memory, const hil_conv *r, const hil_box *box)
{
    const int8_t *input = (const int8_t *)hil_at(memory, r->in);
    const int8_t *weights = (const int8_t *)hil_at(memory, r->weights);
    const hil_channel *channels = (const hil_channel *)(const void *)hil_at(memory, r->params);
    int8_t *out = (int8_t *)hil_into(memory, r->out) + box->r0 * (uint32_t)(r->ow * r->oc);
    const bool plain = r->groups == 1 && r->dilation_h == 1 && r->dilation_w == 1 && r->weight_zp == 0;
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
            if (plain && ty.to - ty.from == r->kh && tx.to - tx.from == r->kw) {
                inside(r, input + at, weights, channels, out, box->c0, box->c1);
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
