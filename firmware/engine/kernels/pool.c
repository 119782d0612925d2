/* AVERAGE_POOL_2D and MAX_POOL_2D: over the part of the window that lies inside the input. */
#include "arithmetic.h"
#include "kernels.h"
#include "window.h"

hil_status hil_check_pool(const hil_limits *limits, const hil_pool *r, hil_extent *extent)
{
    uint64_t in, out;
    const int32_t in_sizes[4] = {r->batch, r->ih, r->iw, r->channels};
    const int32_t out_sizes[4] = {r->batch, r->oh, r->ow, r->channels};
    if (!hil_sizes(in_sizes, 4, &in) || !hil_sizes(out_sizes, 4, &out) ||
        !hil_axis_ok(r->ih, r->oh, r->kh, r->stride_h, 1, r->pad_top) ||
        !hil_axis_ok(r->iw, r->ow, r->kw, r->stride_w, 1, r->pad_left) || !hil_int8_ok(r->lo) || !hil_int8_ok(r->hi) ||
        !hil_stored_ok(r->in_rows, r->batch, r->ih, r->kh) || !hil_stored_ok(r->out_rows, r->batch, r->oh, 1) ||
        !hil_readable(limits, r->in, (uint64_t)r->in_rows * (uint32_t)(r->iw * r->channels), 1u) ||
        !hil_writable(limits, r->out, (uint64_t)r->out_rows * (uint32_t)(r->ow * r->channels), 1u)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)(r->batch * r->oh), (uint32_t)r->channels, false};
    return HIL_OK;
}

/* The part of a window that lies inside the input. */
typedef struct {
    uint32_t rows, columns;
    uint32_t next_row, next;
    uint32_t later; /* the last of the rows, from a ring's start */
    uint32_t back;  /* from there to where they would be without the ring */
} hil_part;

/* What a channel's window gives: its sum, or its largest value. */
static int32_t sum_of(const int8_t *x, const hil_part *part)
{
    int32_t sum = 0;
    for (uint32_t row = part->rows; row > 0u; row--) {
        uint32_t at = 0;
        if (row == part->later) {
            x -= part->back;
        }
        for (uint32_t i = part->columns; i > 0u; i--) {
            sum += x[at];
            at += part->next;
        }
        x += part->next_row;
    }
    return sum;
}

static int32_t largest_of(const int8_t *x, const hil_part *part)
{
    int32_t largest = -128;
    for (uint32_t row = part->rows; row > 0u; row--) {
        uint32_t at = 0;
        if (row == part->later) {
            x -= part->back;
        }
        for (uint32_t i = part->columns; i > 0u; i--) {
            largest = x[at] > largest ? x[at] : largest;
            at += part->next;
        }
        x += part->next_row;
    }
    return largest;
}

/* sum / count to the nearest, halves away from zero. */
static int32_t mean_of(int32_t sum, uint32_t count)
{
    const uint32_t magnitude = sum < 0 ? 0u - (uint32_t)sum : (uint32_t)sum;
    const int32_t mean = (int32_t)((magnitude + count / 2u) / count);
    return sum < 0 ? -mean : mean;
}

static void run(const hil_memory *memory, const hil_pool *r, const hil_box *box, bool average)
{
    hil_part part = {0};
    part.next = (uint32_t)r->channels;
    part.next_row = (uint32_t)(r->iw * r->channels);
    part.back = (uint32_t)r->in_rows * part.next_row;
    const int8_t *input = (const int8_t *)hil_at(memory, r->in);
    int8_t *storage = (int8_t *)hil_into(memory, r->out);
    uint32_t image = box->r0 / (uint32_t)r->oh;
    int32_t y = (int32_t)(box->r0 - image * (uint32_t)r->oh);
    uint32_t out_row = box->r0;
    for (uint32_t row = box->r0; row < box->r1; row++) {
        const int32_t top = y * r->stride_h - r->pad_top;
        const hil_taps ty = hil_taps_inside(top, r->ih, r->kh, 1);
        const hil_rows rows = hil_rows_of(image * (uint32_t)r->ih + (uint32_t)top, &ty, 1, r->in_rows);
        part.rows = (uint32_t)(ty.to - ty.from);
        part.later = (uint32_t)(ty.to - rows.turn);
        const int8_t *first = input + (rows.first + (uint32_t)ty.from) * part.next_row;
        if (out_row >= (uint32_t)r->out_rows) {
            out_row %= (uint32_t)r->out_rows;
        }
        int8_t *out = storage + out_row * (uint32_t)(r->ow * r->channels);
        int32_t left = -r->pad_left;
        for (int32_t x = 0; x < r->ow; x++) {
            const hil_taps tx = hil_taps_inside(left, r->iw, r->kw, 1);
            part.columns = (uint32_t)(tx.to - tx.from);
            const int8_t *window = first + (uint32_t)(left + tx.from) * part.next;
            for (uint32_t c = box->c0; c < box->c1; c++) {
                const int32_t value = average ? mean_of(sum_of(window + c, &part), part.rows * part.columns)
                                              : largest_of(window + c, &part);
                out[c] = (int8_t)hil_clamp(value, 0, r->lo, r->hi);
            }
            left += r->stride_w;
            out += r->channels;
        }
        out_row++;
        y++;
        if (y == r->oh) {
            y = 0;
            image++;
        }
    }
}

void hil_run_pool_average(const hil_memory *memory, const hil_pool *r, const hil_box *box)
{
    run(memory, r, box, true);
}

void hil_run_pool_max(const hil_memory *memory, const hil_pool *r, const hil_box *box)
{
    run(memory, r, box, false);
}
