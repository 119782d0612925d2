/* DEPTHWISE_CONV_2D. Weights are [kh][kw][oc]; output channel c reads input channel c / (oc / ic). */
#include "arithmetic.h"
#include "kernels.h"

hil_status hil_check_depthwise(const hil_limits *limits, const hil_depthwise *r, hil_extent *extent)
{
    const hil_slide *s = &r->slide;
    uint64_t weights;
    const int32_t weight_sizes[3] = {s->oc, s->kh, s->kw};
    if (!hil_slide_ok(limits, s, &r->stored, r->in, r->out, 1u, extent) || !hil_sizes(weight_sizes, 3, &weights) ||
        s->oc % s->ic != 0 || !hil_int8s_ok(r->in_zp, r->out_zp, r->lo, r->hi) ||
        !hil_readable(limits, r->weights, weights, 1u) ||
        !hil_readable(limits, r->params, (uint64_t)s->oc * sizeof(hil_channel), 4u)) {
        return HIL_BAD_RECORD;
    }
    return HIL_OK;
}

/* The part of a window that lies inside the input, and how to walk it. */
typedef struct {
    int32_t rows, columns;          /* rows: before a ring's end */
    int32_t later;                  /* further rows, from the ring's start */
    int32_t back;                   /* from where a row behind the ring's end would be to where it is */
    int32_t next_x, next_w;         /* from tap to tap */
    int32_t next_row_x, next_row_w; /* from row to row */
    uint32_t x, w;                  /* offsets of the first tap inside, for channel 0 */
    uint32_t copies;                /* output channels of an input channel */
    int32_t to_second, to_third;    /* of three rows */
} hil_walk;

/* The inner loops are functions of their own so that their values stay in registers. */

/* Sum of (x - zero) * w over `count` (at least 1) taps, both `step` apart. */
__attribute__((noinline)) static uint32_t row_of_taps(const int8_t *x, const int8_t *w, int32_t count, int32_t step,
                                                      int32_t zero)
{
    uint32_t sum = 0;
    int32_t i = -count * step;
    x -= i;
    w -= i;
    do {
        sum += (uint32_t)((x[i] - zero) * w[i]);
        i += step;
    } while (i != 0);
    return sum;
}

/* The same with different steps. */
__attribute__((noinline)) static uint32_t row_of_taps_apart(const int8_t *x, const int8_t *w, const hil_walk *walk,
                                                            int32_t zero)
{
    uint32_t sum = 0;
    int32_t at = 0;
    int32_t at_w = 0;
    for (int32_t i = walk->columns; i > 0; i--) {
        sum += (uint32_t)((x[at] - zero) * w[at_w]);
        at += walk->next_x;
        at_w += walk->next_w;
    }
    return sum;
}

__attribute__((noinline)) static uint32_t window_of(const hil_walk *walk, const int8_t *x, const int8_t *w,
                                                    int32_t zero)
{
    uint32_t sum = 0;
    for (int32_t row = walk->rows + walk->later; row > 0; row--) {
        if (row == walk->later) {
            x += walk->back;
        }
        sum += walk->next_x == walk->next_w ? row_of_taps(x, w, walk->columns, walk->next_x, zero)
                                            : row_of_taps_apart(x, w, walk, zero);
        x += walk->next_row_x;
        w += walk->next_row_w;
    }
    return sum;
}

/* Three taps in a row. */
__attribute__((always_inline)) static inline uint32_t three_taps(const int8_t *x, const int8_t *w, int32_t step)
{
    return (uint32_t)(x[0] * w[0]) + (uint32_t)(x[step] * w[step]) + (uint32_t)(x[2 * step] * w[2 * step]);
}

/* Channels [c0, c1) of one pixel whose window is three by three, inside the input, and has the channels' step. */
__attribute__((noinline)) static void nine_taps(const hil_walk *walk, const hil_range *range, const int8_t *x,
                                                const int8_t *w, const hil_channel *channel, int8_t *out,
                                                const hil_box *box)
{
    const int32_t step = walk->next_w;
    for (uint32_t c = box->c0; c < box->c1; c++) {
        const int8_t *from = x + c;
        const int8_t *taps = w + c;
        uint32_t sum = (uint32_t)channel[c].folded + three_taps(from, taps, step);
        from += walk->to_second;
        taps += 3 * step;
        sum += three_taps(from, taps, step);
        from += walk->to_third;
        taps += 3 * step;
        out[c] = hil_finish(sum + three_taps(from, taps, step), &channel[c], range);
    }
}

/* Channels [c0, c1) of one pixel, any window. */
__attribute__((noinline)) static void pixel(const hil_depthwise *r, const hil_range *range, const int8_t *input,
                                            const int8_t *weights, const hil_channel *channel, int8_t *out,
                                            const hil_box *box, const hil_walk *walk)
{
    const uint32_t copies = walk->copies;
    uint32_t source = copies == 1u ? box->c0 : box->c0 / copies;
    uint32_t left = copies - (box->c0 - source * copies);
    const bool any = walk->rows > 0 && walk->columns > 0;
    for (uint32_t c = box->c0; c < box->c1; c++) {
        uint32_t sum = (uint32_t)channel[c].bias;
        if (any) {
            sum += window_of(walk, input + (walk->x + source), weights + (walk->w + c), r->in_zp);
        }
        out[c] = hil_finish(sum, &channel[c], range);
        left--;
        if (left == 0u) {
            left = copies;
            source++;
        }
    }
}

void hil_run_depthwise(const hil_memory *memory, const hil_depthwise *r, const hil_box *box)
{
    const hil_slide *s = &r->slide;
    const int8_t *input = (const int8_t *)hil_at(memory, r->in);
    const int8_t *weights = (const int8_t *)hil_at(memory, r->weights);
    const hil_channel *channels = (const hil_channel *)(const void *)hil_at(memory, r->params);
    int8_t *storage = (int8_t *)hil_into(memory, r->out);
    const hil_range range = hil_range_of(r->out_zp, r->lo, r->hi);
    hil_walk walk = {0};
    walk.next_x = (int32_t)((uint32_t)s->dilation_w * (uint32_t)s->ic);
    walk.next_w = s->oc;
    walk.copies = (uint32_t)(s->oc / s->ic);
    walk.next_row_x = (int32_t)((uint32_t)s->dilation_h * (uint32_t)(s->iw * s->ic));
    walk.next_row_w = s->kw * s->oc;
    walk.back = -r->stored.in * s->iw * s->ic;
    const bool near = s->ic == s->oc && s->kh == 3 && s->kw == 3 && s->dilation_h == 1 && s->dilation_w == 1;
    hil_sweep sweep;
    hil_sweep_from(&sweep, s, box->r0);
    while (sweep.row < box->r1) {
        hil_sweep_on(&sweep, s, &r->stored);
        const hil_taps ty = sweep.ty;
        const uint32_t first = sweep.first + (uint32_t)ty.from * (uint32_t)s->dilation_h;
        int8_t *out = storage + sweep.out;
        int32_t left = -s->pad_left;
        walk.rows = sweep.turn - ty.from;
        walk.later = ty.to - sweep.turn;
        walk.to_second = walk.later == 2 ? walk.next_row_x + walk.back : walk.next_row_x;
        walk.to_third = walk.later == 1 ? walk.next_row_x + walk.back : walk.next_row_x;
        for (int32_t x = 0; x < s->ow; x++) {
            const hil_taps tx = hil_taps_inside(left, s->iw, s->kw, s->dilation_w);
            walk.columns = tx.to - tx.from;
            const uint32_t column = (uint32_t)left + (uint32_t)tx.from * (uint32_t)s->dilation_w;
            walk.x = (first * (uint32_t)s->iw + column) * (uint32_t)s->ic;
            walk.w = (uint32_t)(ty.from * s->kw + tx.from) * (uint32_t)s->oc;
            if (near && ty.to - ty.from == 3 && walk.columns == 3) {
                nine_taps(&walk, &range, input + walk.x, weights, channels, out, box);
            } else {
                pixel(r, &range, input, weights, channels, out, box, &walk);
            }
            left += s->stride_w;
            out += s->oc;
        }
    }
}
