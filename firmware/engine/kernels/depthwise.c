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
        !hil_stored_ok(r->in_rows, r->batch, r->ih, (int64_t)(r->kh - 1) * r->dilation_h + 1) ||
        !hil_stored_ok(r->out_rows, r->batch, r->oh, 1) ||
        !hil_readable(limits, r->in, (uint64_t)r->in_rows * (uint32_t)(r->iw * r->ic), 1u) ||
        !hil_writable(limits, r->out, (uint64_t)r->out_rows * (uint32_t)(r->ow * r->oc), 1u) ||
        !hil_readable(limits, r->weights, weights, 1u) ||
        !hil_readable(limits, r->params, (uint64_t)r->oc * sizeof(hil_channel), 4u)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)(r->batch * r->oh), (uint32_t)r->oc, false};
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
    int32_t jumps[3];               /* of three rows: from the last to the next, from the second, from the first */
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

__attribute__((noinline)) static uint32_t window_of(const hil_walk *walk, const int8_t *x, const int8_t *w, int32_t zero)
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

/* Channels [c0, c1) of one pixel whose window is three by three, inside the input, and has the channels' step. */
__attribute__((noinline)) static void nine_taps(const hil_depthwise *r, const hil_range *range, const int8_t *x,
                                                const int8_t *w, const hil_channel *channel, int8_t *out,
                                                const hil_box *box, const int32_t jumps[3])
{
    const int32_t step = r->oc;
    for (uint32_t c = box->c0; c < box->c1; c++) {
        uint32_t sum = (uint32_t)channel[c].folded;
        const int8_t *from = x + c;
        const int8_t *taps = w + c;
        for (int32_t row = 2; row >= 0; row--) {
            sum += (uint32_t)(from[0] * taps[0]);
            sum += (uint32_t)(from[step] * taps[step]);
            sum += (uint32_t)(from[2 * step] * taps[2 * step]);
            from += jumps[row];
            taps += 3 * step;
        }
        out[c] = hil_finish(sum, &channel[c], range);
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
    const int8_t *input = (const int8_t *)hil_at(memory, r->in);
    const int8_t *weights = (const int8_t *)hil_at(memory, r->weights);
    const hil_channel *channels = (const hil_channel *)(const void *)hil_at(memory, r->params);
    int8_t *storage = (int8_t *)hil_into(memory, r->out);
    const hil_range range = hil_range_of(r->out_zp, r->lo, r->hi);
    hil_walk walk = {0};
    walk.next_x = (int32_t)((uint32_t)r->dilation_w * (uint32_t)r->ic);
    walk.next_w = r->oc;
    walk.copies = (uint32_t)(r->oc / r->ic);
    walk.next_row_x = (int32_t)((uint32_t)r->dilation_h * (uint32_t)(r->iw * r->ic));
    walk.next_row_w = r->kw * r->oc;
    walk.back = -r->in_rows * r->iw * r->ic;
    const bool near = r->ic == r->oc && r->kh == 3 && r->kw == 3 && r->dilation_h == 1 && r->dilation_w == 1;
    uint32_t image = box->r0 / (uint32_t)r->oh;
    int32_t y = (int32_t)(box->r0 - image * (uint32_t)r->oh);
    uint32_t out_row = box->r0;
    for (uint32_t row = box->r0; row < box->r1; row++) {
        const int32_t top = y * r->stride_h - r->pad_top;
        const hil_taps ty = hil_taps_inside(top, r->ih, r->kh, r->dilation_h);
        const hil_rows rows = hil_rows_of(image * (uint32_t)r->ih + (uint32_t)top, &ty, r->dilation_h, r->in_rows);
        const uint32_t first = rows.first + (uint32_t)ty.from * (uint32_t)r->dilation_h;
        int32_t left = -r->pad_left;
        walk.rows = rows.turn - ty.from;
        walk.later = ty.to - rows.turn;
        walk.jumps[2] = walk.later == 2 ? walk.next_row_x + walk.back : walk.next_row_x;
        walk.jumps[1] = walk.later == 1 ? walk.next_row_x + walk.back : walk.next_row_x;
        if (out_row >= (uint32_t)r->out_rows) {
            out_row %= (uint32_t)r->out_rows;
        }
        int8_t *out = storage + out_row * (uint32_t)(r->ow * r->oc);
        for (int32_t x = 0; x < r->ow; x++) {
            const hil_taps tx = hil_taps_inside(left, r->iw, r->kw, r->dilation_w);
            walk.columns = tx.to - tx.from;
            const uint32_t column = (uint32_t)left + (uint32_t)tx.from * (uint32_t)r->dilation_w;
            walk.x = (first * (uint32_t)r->iw + column) * (uint32_t)r->ic;
            walk.w = (uint32_t)(ty.from * r->kw + tx.from) * (uint32_t)r->oc;
            if (near && ty.to - ty.from == 3 && walk.columns == 3) {
                nine_taps(r, &range, input + walk.x, weights, channels, out, box, walk.jumps);
            } else {
                pixel(r, &range, input, weights, channels, out, box, &walk);
            }
            left += r->stride_w;
            out += r->oc;
        }
        out_row++;
        y++;
        if (y == r->oh) {
            y = 0;
            image++;
        }
    }
}
