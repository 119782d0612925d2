/* A convolution over some of the input channels, which leaves int32 sums. Weights are [oc][kh][kw][ic], and what each
 * sum starts with has the input's zero point folded in: a tap in the padding reads that zero point. */
#include "arithmetic.h"
#include "dot.h"
#include "kernels.h"
#include "words.h"

#include <stddef.h>

hil_status hil_check_conv_partial(const hil_limits *limits, const hil_conv_partial *r, hil_extent *extent)
{
    const hil_slide *s = &r->slide;
    uint64_t weights;
    const int32_t weight_sizes[4] = {s->oc, s->kh, s->kw, s->ic};
    if (!hil_slide_ok(limits, s, &r->stored, r->in, r->out, 4u, extent) || !hil_sizes(weight_sizes, 4, &weights) ||
        !hil_int8_ok(r->in_zp) || !hil_readable(limits, r->weights, weights, 1u) ||
        !hil_readable(limits, r->sums, (uint64_t)s->oc * 4u, 4u)) {
        return HIL_BAD_RECORD;
    }
    return HIL_OK;
}

/* Channels [c0, c1) of one pixel whose window lies inside the input in one piece, two at a time; `x` is its first tap.
 */
__attribute__((noinline)) static void inside(const hil_conv_partial *r, const int8_t *x, const int8_t *w,
                                             const hil_word *start, hil_word *out, const hil_box *box)
{
    const hil_slide *s = &r->slide;
    const int32_t length = s->kw * s->ic;
    const int32_t filter = s->kh * length;
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
        for (int32_t rows = s->kh; rows > 0; rows--) {
            hil_dot_two(row, row_w, other, length, sums);
            row += s->iw * s->ic;
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
    int32_t turn; /* see hil_sweep */
} hil_place;

/* Sum over one tap of any window: products of the input's values, or of the zero point where the tap is in the padding.
 */
__attribute__((noinline)) static uint32_t tap(const hil_conv_partial *r, const int8_t *x, const int8_t *w)
{
    const hil_slide *s = &r->slide;
    uint32_t sum = 0;
    for (int32_t i = 0; i < s->ic; i++) {
        sum += (uint32_t)((x != NULL ? x[i] : r->in_zp) * w[i]);
    }
    return sum;
}

/* One channel of one pixel, any window. */
static uint32_t any(const hil_conv_partial *r, const int8_t *input, const int8_t *w, const hil_place *place)
{
    const hil_slide *s = &r->slide;
    const uint32_t row = (uint32_t)(s->iw * s->ic);
    uint32_t sum = 0;
    for (int32_t ky = 0; ky < s->kh; ky++) {
        const bool row_inside = ky >= place->ty.from && ky < place->ty.to;
        uint32_t at = place->x + (uint32_t)ky * (uint32_t)s->dilation_h * row;
        if (ky >= place->turn) {
            at -= (uint32_t)r->stored.in * row;
        }
        for (int32_t kx = 0; kx < s->kw; kx++) {
            const bool inside_too = row_inside && kx >= place->tx.from && kx < place->tx.to;
            sum += tap(r, inside_too ? input + at : NULL, w);
            at += (uint32_t)s->dilation_w * (uint32_t)s->ic;
            w += s->ic;
        }
    }
    return sum;
}

void hil_run_conv_partial(const hil_memory *memory, const hil_conv_partial *r, const hil_box *box)
{
    const hil_slide *s = &r->slide;
    const int8_t *input = (const int8_t *)hil_at(memory, r->in);
    const int8_t *weights = (const int8_t *)hil_at(memory, r->weights);
    const hil_word *start = hil_words(hil_at(memory, r->sums));
    hil_word *storage = (hil_word *)(void *)hil_into(memory, r->out);
    const int32_t filter = s->kh * s->kw * s->ic;
    const bool direct = s->dilation_h == 1 && s->dilation_w == 1;
    hil_place place;
    hil_sweep sweep;
    hil_sweep_from(&sweep, s, box->r0);
    while (sweep.row < box->r1) {
        hil_sweep_on(&sweep, s, &r->stored);
        place.ty = sweep.ty;
        place.turn = sweep.turn;
        const bool full = direct && sweep.ty.to - sweep.ty.from == s->kh && sweep.turn == sweep.ty.to;
        hil_word *out = storage + sweep.out;
        int32_t left = -s->pad_left;
        for (int32_t x = 0; x < s->ow; x++) {
            place.tx = hil_taps_inside(left, s->iw, s->kw, s->dilation_w);
            place.x = (sweep.first * (uint32_t)s->iw + (uint32_t)left) * (uint32_t)s->ic;
            if (full && place.tx.to - place.tx.from == s->kw) {
                inside(r, input + place.x, weights, start, out, box);
            } else {
                for (uint32_t c = box->c0; c < box->c1; c++) {
                    out[c] = start[c] + any(r, input, weights + (int32_t)c * filter, &place);
                }
            }
            left += s->stride_w;
            out += s->oc;
        }
    }
}
