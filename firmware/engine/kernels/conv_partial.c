/* A convolution over some of the input channels, which leaves int32 sums. Weights are [oc][kh][kw][ic], and what each
 * sum starts with has the input's zero point folded in: a tap in the padding reads that zero point. */
#include "dot.h"
#include "kernels.h"
#include "window.h"
#include "words.h"

#include <stddef.h>

hil_status hil_check_conv_partial(const hil_limits *limits, const hil_conv_partial *r, hil_extent *extent)
{
    uint64_t in, out, weights;
    const int32_t in_sizes[4] = {r->batch, r->ih, r->iw, r->ic};
    const int32_t out_sizes[4] = {r->batch, r->oh, r->ow, r->oc};
    const int32_t weight_sizes[4] = {r->oc, r->kh, r->kw, r->ic};
    if (!hil_sizes(in_sizes, 4, &in) || !hil_sizes(out_sizes, 4, &out) || !hil_sizes(weight_sizes, 4, &weights) ||
        !hil_axis_ok(r->ih, r->oh, r->kh, r->stride_h, r->dilation_h, r->pad_top) ||
        !hil_axis_ok(r->iw, r->ow, r->kw, r->stride_w, r->dilation_w, r->pad_left) || r->in_zp < -128 ||
        r->in_zp > 127 || !hil_stored_ok(r->in_rows, r->batch, r->ih, (int64_t)(r->kh - 1) * r->dilation_h + 1) ||
        !hil_stored_ok(r->out_rows, r->batch, r->oh, 1) ||
        !hil_readable(limits, r->in, (uint64_t)r->in_rows * (uint32_t)(r->iw * r->ic), 1u) ||
        !hil_writable(limits, r->out, (uint64_t)r->out_rows * (uint32_t)(r->ow * r->oc) * 4u, 4u) ||
        !hil_readable(limits, r->weights, weights, 1u) ||
        !hil_readable(limits, r->sums, (uint64_t)r->oc * 4u, 4u)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)(r->batch * r->oh), (uint32_t)r->oc, false};
    return HIL_OK;
}

/* Channels [c0, c1) of one pixel whose window lies inside the input in one piece, two at a time; `x` is its first tap. */
__attribute__((noinline)) static void inside(const hil_conv_partial *r, const int8_t *x, const int8_t *w,
                                             const hil_word *start, hil_word *out, const hil_box *box)
{
    const int32_t length = r->kw * r->ic;
    const int32_t filter = r->kh * length;
    int32_t left = (int32_t)(box->c1 - box->c0);
    w += (int32_t)box->c0 * filter;
    start += box->c0;
    out += box->c0;
    for (; left > 0; left -= 2) {
        const int32_t second = left > 1 ? 1 : 0; /* 0: one channel is left; it runs twice */
        const int8_t *other = second != 0 ? w + filter : w;
        uint32_t sums[2] = {start[0], start[second]};
        const int8_t *row = x;
        const int8_t *row_w = w;
        for (int32_t rows = r->kh; rows > 0; rows--) {
            hil_dot_two(row, row_w, other, length, sums);
            row += r->iw * r->ic;
            row_w += length;
            other += length;
        }
        out[0] = sums[0];
        out[second] = sums[second];
        out += 2;
        start += 2;
        w += 2 * filter;
    }
}

/* Which input one pixel reads. */
typedef struct {
    uint32_t x; /* offset of the window's first tap; in the padding it wraps, and is whole again at a tap inside */
    hil_taps ty, tx;
    int32_t turn; /* see hil_rows */
} hil_place;

/* Sum over one tap of any window: the products of the input's values, or of the zero point where it is in the padding. */
__attribute__((noinline)) static uint32_t tap(const hil_conv_partial *r, const int8_t *x, const int8_t *w)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < r->ic; i++) {
        sum += (uint32_t)((x != NULL ? x[i] : r->in_zp) * w[i]);
    }
    return sum;
}

/* One channel of one pixel, any window. */
static uint32_t any(const hil_conv_partial *r, const int8_t *input, const int8_t *w, const hil_place *place)
{
    const uint32_t row = (uint32_t)(r->iw * r->ic);
    uint32_t sum = 0;
    for (int32_t ky = 0; ky < r->kh; ky++) {
        const bool row_inside = ky >= place->ty.from && ky < place->ty.to;
        uint32_t at = place->x + (uint32_t)ky * (uint32_t)r->dilation_h * row;
        if (ky >= place->turn) {
            at -= (uint32_t)r->in_rows * row;
        }
        for (int32_t kx = 0; kx < r->kw; kx++) {
            const bool inside_too = row_inside && kx >= place->tx.from && kx < place->tx.to;
            sum += tap(r, inside_too ? input + at : NULL, w);
            at += (uint32_t)r->dilation_w * (uint32_t)r->ic;
            w += r->ic;
        }
    }
    return sum;
}

void hil_run_conv_partial(const hil_memory *memory, const hil_conv_partial *r, const hil_box *box)
{
    const int8_t *input = (const int8_t *)hil_at(memory, r->in);
    const int8_t *weights = (const int8_t *)hil_at(memory, r->weights);
    const hil_word *start = hil_words(hil_at(memory, r->sums));
    hil_word *storage = (hil_word *)(void *)hil_into(memory, r->out);
    const int32_t filter = r->kh * r->kw * r->ic;
    const bool direct = r->dilation_h == 1 && r->dilation_w == 1;
    uint32_t image = box->r0 / (uint32_t)r->oh;
    int32_t y = (int32_t)(box->r0 - image * (uint32_t)r->oh);
    hil_place place;
    for (uint32_t row = box->r0; row < box->r1; row++) {
        const int32_t top = y * r->stride_h - r->pad_top;
        place.ty = hil_taps_inside(top, r->ih, r->kh, r->dilation_h);
        const hil_rows rows = hil_rows_of(image * (uint32_t)r->ih + (uint32_t)top, &place.ty, r->dilation_h, r->in_rows);
        place.turn = rows.turn;
        const bool full = direct && place.ty.to - place.ty.from == r->kh && rows.turn == place.ty.to;
        hil_word *out = storage + row % (uint32_t)r->out_rows * (uint32_t)(r->ow * r->oc);
        int32_t left = -r->pad_left;
        for (int32_t x = 0; x < r->ow; x++) {
            place.tx = hil_taps_inside(left, r->iw, r->kw, r->dilation_w);
            place.x = (rows.first * (uint32_t)r->iw + (uint32_t)left) * (uint32_t)r->ic;
            if (full && place.tx.to - place.tx.from == r->kw) {
                inside(r, input + place.x, weights, start, out, box);
            } else {
                for (uint32_t c = box->c0; c < box->c1; c++) {
                    out[c] = start[c] + any(r, input, weights + (int32_t)c * filter, &place);
                }
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
