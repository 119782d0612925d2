/* CONV_2D and FULLY_CONNECTED (one pixel a row). Weights are [oc][kh][kw][ic / groups]. The input's zero point is
 * folded into the channel's bias: a window that lies inside the input is used where it is, a small one that does not is
 * copied with the zero point around it. For any other window the zero point is subtracted from every value. A window
 * that a ring cuts in two counts as one that does not lie inside. */
#include "arithmetic.h"
#include "dot.h"
#include "kernels.h"

hil_status hil_check_conv(const hil_limits *limits, const hil_conv *r, hil_extent *extent)
{
    const hil_slide *s = &r->slide;
    uint64_t weights;
    if (!hil_slide_ok(limits, s, &r->stored, r->in, r->out, 1u, extent) || r->groups < 1 || s->ic % r->groups != 0 ||
        s->oc % r->groups != 0) {
        return HIL_BAD_RECORD;
    }
    const int32_t weight_sizes[4] = {s->oc, s->kh, s->kw, s->ic / r->groups};
    if (!hil_sizes(weight_sizes, 4, &weights) || !hil_int8s_ok(r->in_zp, r->out_zp, r->lo, r->hi) ||
        !hil_int8_ok(r->weight_zp) || !hil_readable(limits, r->weights, weights, 1u) ||
        !hil_readable(limits, r->params, (uint64_t)s->oc * sizeof(hil_channel), 4u)) {
        return HIL_BAD_RECORD;
    }
    return HIL_OK;
}

enum { WINDOW = 144 }; /* bytes of a window that is copied before it is used: 3 x 3 of 16 channels */

/* One pixel's window and what is made of it. */
typedef struct {
    hil_range range;
    int32_t rows, length; /* runs of values, and how many a run has */
    int32_t step;         /* from a run to the next */
    int32_t filter;       /* bytes of one channel's weights */
} hil_pass;

/* Which input one pixel reads. */
typedef struct {
    uint32_t x; /* offset of the window's first tap; in the padding it wraps, and is whole again at a tap inside */
    hil_taps ty, tx;
    int32_t turn; /* see hil_sweep */
} hil_place;

/* The inner loops are functions of their own, see dot.h. */

/* (x - x_zp) . (w - w_zp) over `length` values, at least 1. */
__attribute__((noinline)) static uint32_t dot_centred(const int8_t *x, const int8_t *w, int32_t length, int32_t x_zp,
                                                      int32_t w_zp)
{
    uint32_t sum = 0;
    int32_t i = -length;
    x += length;
    w += length;
    do {
        sum += (uint32_t)((x[i] - x_zp) * (w[i] - w_zp));
    } while (++i != 0);
    return sum;
}

/* Channels [c0, c1) of one pixel, of which `x` is the whole window, two at a time. */
__attribute__((noinline)) static void inside(const hil_pass *pass, const int8_t *x, const int8_t *w,
                                             const hil_channel *channel, int8_t *out, const hil_box *box)
{
    const int32_t length = pass->length;
    int32_t left = (int32_t)(box->c1 - box->c0);
    w += (int32_t)box->c0 * pass->filter;
    channel += box->c0;
    out += box->c0;
    for (; left > 0; left -= 2) {
        const int32_t second = left > 1 ? 1 : 0; /* 0: one channel is left; it runs twice */
        const int8_t *other = second != 0 ? w + pass->filter : w;
        uint32_t sums[2] = {(uint32_t)channel[0].folded, (uint32_t)channel[second].folded};
        const int8_t *row = x;
        const int8_t *row_w = w;
        for (int32_t rows = pass->rows; rows > 0; rows--) {
            hil_dot_two(row, row_w, other, length, sums);
            row += pass->step;
            row_w += length;
            other += length;
        }
        out[0] = hil_finish(sums[0], channel, &pass->range);
        out[second] = hil_finish(sums[second], channel + second, &pass->range);
        out += 2;
        channel += 2;
        w += 2 * pass->filter;
    }
}

/* Bytes from `from` to `to`, or of one value; `count` may be 0. */
__attribute__((noinline)) static int8_t *copy(int8_t *to, const int8_t *from, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        to[i] = from[i];
    }
    return to + count;
}

__attribute__((noinline)) static int8_t *repeat(int8_t *to, int32_t value, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        to[i] = (int8_t)value;
    }
    return to + count;
}

/* Copies a window of at most WINDOW bytes, with the zero point where it lies outside of the input. */
__attribute__((noinline)) static void gather(const hil_conv *r, const int8_t *input, int8_t *to,
                                             const hil_place *place)
{
    const hil_slide *s = &r->slide;
    const hil_taps *ty = &place->ty;
    const hil_taps *tx = &place->tx;
    uint32_t x = place->x;
    const uint32_t next_tap = (uint32_t)s->dilation_w * (uint32_t)s->ic;
    const bool joined = s->dilation_w == 1;
    const int32_t run = joined ? (tx->to - tx->from) * s->ic : s->ic;
    to = repeat(to, r->in_zp, ty->from * s->kw * s->ic);
    x += (uint32_t)ty->from * (uint32_t)s->dilation_h * (uint32_t)(s->iw * s->ic) + (uint32_t)tx->from * next_tap;
    for (int32_t ky = ty->from; ky < ty->to; ky++) {
        if (ky == place->turn) {
            x -= (uint32_t)r->stored.in * (uint32_t)(s->iw * s->ic);
        }
        uint32_t at = x;
        to = repeat(to, r->in_zp, tx->from * s->ic);
        for (int32_t kx = tx->from; kx < tx->to; kx++) {
            to = copy(to, input + at, run);
            at += next_tap;
            if (joined) {
                break;
            }
        }
        to = repeat(to, r->in_zp, (s->kw - tx->to) * s->ic);
        x += (uint32_t)s->dilation_h * (uint32_t)(s->iw * s->ic);
    }
    repeat(to, r->in_zp, (s->kh - ty->to) * s->kw * s->ic);
}

/* Channels [c0, c1) of one pixel, any small window: all of it in one run. */
__attribute__((noinline)) static void conv_copied(const hil_conv *r, const hil_pass *whole, const int8_t *input,
                                                  const int8_t *weights, const hil_channel *channels, int8_t *out,
                                                  const hil_box *box, const hil_place *place)
{
    int8_t window[WINDOW];
    gather(r, input, window, place);
    inside(whole, window, weights, channels, out, box);
}

/* The sum of one channel's filter `w` over the taps that lie inside the input, for any dilation and groups; `input` is
 * that of the channel's group. */
static uint32_t clipped(const hil_conv *r, const int8_t *input, const int8_t *w, const hil_place *place)
{
    const hil_slide *s = &r->slide;
    const hil_taps *tx = &place->tx;
    const int32_t depth = s->ic / r->groups;
    const uint32_t next_row = (uint32_t)s->dilation_h * (uint32_t)(s->iw * s->ic);
    const uint32_t next_tap = (uint32_t)s->dilation_w * (uint32_t)s->ic;
    const bool joined = next_tap == (uint32_t)depth; /* the taps of a row lie in one piece */
    const int32_t run = joined ? depth * (tx->to - tx->from) : depth;
    const int32_t runs = joined && tx->to > tx->from ? 1 : tx->to - tx->from;
    uint32_t sum = 0;
    for (int32_t ky = place->ty.from; ky < place->ty.to; ky++) {
        uint32_t at = place->x + (uint32_t)ky * next_row + (uint32_t)tx->from * next_tap;
        if (ky >= place->turn) {
            at -= (uint32_t)r->stored.in * (uint32_t)(s->iw * s->ic);
        }
        const int8_t *taps = w + (ky * s->kw + tx->from) * depth;
        for (int32_t i = 0; i < runs; i++) {
            sum += dot_centred(input + at, taps, run, r->in_zp, r->weight_zp);
            at += next_tap;
            taps += depth;
        }
    }
    return sum;
}

/* Channels [c0, c1) of one pixel, any window. */
__attribute__((noinline)) static void outside(const hil_conv *r, const hil_range *range, const int8_t *input,
                                              const int8_t *weights, const hil_channel *channels, int8_t *out,
                                              const hil_box *box, const hil_place *place)
{
    const hil_slide *s = &r->slide;
    const uint32_t depth = (uint32_t)(s->ic / r->groups);
    const int32_t filter = s->kh * s->kw * (int32_t)depth;
    const uint32_t group_size = (uint32_t)(s->oc / r->groups);
    const uint32_t group = r->groups == 1 ? 0u : box->c0 / group_size;
    const int8_t *w = weights + (int32_t)box->c0 * filter;
    uint32_t next_group = (group + 1u) * group_size;
    input += group * depth;
    for (uint32_t c = box->c0; c < box->c1; c++) {
        if (c == next_group) {
            input += depth;
            next_group += group_size;
        }
        out[c] = hil_finish((uint32_t)channels[c].bias + clipped(r, input, w, place), &channels[c], range);
        w += filter;
    }
}

void hil_run_conv(const hil_memory *memory, const hil_conv *r, const hil_box *box)
{
    const hil_slide *s = &r->slide;
    const int8_t *input = (const int8_t *)hil_at(memory, r->in);
    const int8_t *weights = (const int8_t *)hil_at(memory, r->weights);
    const hil_channel *channels = (const hil_channel *)(const void *)hil_at(memory, r->params);
    int8_t *storage = (int8_t *)hil_into(memory, r->out);
    const int32_t length = s->kw * s->ic;
    const bool plain = r->groups == 1 && r->weight_zp == 0;
    const bool direct = plain && s->dilation_h == 1 && s->dilation_w == 1;
    const bool small = plain && length * s->kh <= WINDOW;
    /* Copying costs some cycles a byte; calls for more than one run cost some cycles a channel. */
    const int32_t channels_of_box = (int32_t)(box->c1 - box->c0);
    const bool thin = small && (s->kh - 1) * (channels_of_box < WINDOW ? channels_of_box : WINDOW) * 2 > length * s->kh;
    const hil_range range = hil_range_of(r->out_zp, r->lo, r->hi);
    const hil_pass pass = {range, s->kh, length, s->iw * s->ic, length * s->kh};
    const hil_pass whole = {range, 1, length * s->kh, 0, length * s->kh};
    hil_place place;
    hil_sweep sweep;
    hil_sweep_from(&sweep, s, box->r0);
    while (sweep.row < box->r1) {
        hil_sweep_on(&sweep, s, &r->stored);
        place.ty = sweep.ty;
        place.turn = sweep.turn;
        const bool full = direct && !thin && sweep.ty.to - sweep.ty.from == s->kh && sweep.turn == sweep.ty.to;
        int8_t *out = storage + sweep.out;
        int32_t left = -s->pad_left;
        for (int32_t x = 0; x < s->ow; x++) {
            place.tx = hil_taps_inside(left, s->iw, s->kw, s->dilation_w);
            place.x = (sweep.first * (uint32_t)s->iw + (uint32_t)left) * (uint32_t)s->ic;
            if (full && place.tx.to - place.tx.from == s->kw) {
                inside(&pass, input + place.x, weights, channels, out, box);
            } else if (small) {
                conv_copied(r, &whole, input, weights, channels, out, box, &place);
            } else {
                outside(r, &range, input, weights, channels, out, box, &place);
            }
            left += s->stride_w;
            out += s->oc;
        }
    }
}
