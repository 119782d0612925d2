/* AVERAGE_POOL_2D and MAX_POOL_2D: over the part of the window that lies inside the input. */
#include "arithmetic.h"
#include "kernels.h"

__attribute__((noinline)) static hil_slide slide_of(const hil_pool *r)
{
    const hil_slide slide = {r->batch, r->ih,       r->iw,       r->channels, r->oh, r->ow,      r->channels, r->kh,
                             r->kw,    r->stride_h, r->stride_w, 1,           1,     r->pad_top, r->pad_left};
    return slide;
}

hil_status hil_check_pool(const hil_limits *limits, const hil_pool *r, hil_extent *extent)
{
    const hil_slide slide = slide_of(r);
    return hil_slide_ok(limits, &slide, &r->stored, r->in, r->out, 1u, extent) &&
                   hil_int8s_ok(r->lo, r->hi, 0, 0)
               ? HIL_OK
               : HIL_BAD_RECORD;
}

/* The part of a window that lies inside the input. */
typedef struct {
    uint32_t rows, columns;
    uint32_t next_row, next;
    uint32_t later; /* the last of the rows, from a ring's start: how many, if there are any */
    uint32_t back;  /* from there to where they would be without the ring */
} hil_part;

/* What the rows of a channel's window give: their sum, or their largest value. */
static int32_t sum_of(const int8_t *x, uint32_t rows, uint32_t columns, uint32_t next_row, uint32_t next)
{
    int32_t sum = 0;
    for (; rows > 0u; rows--) {
        uint32_t at = 0;
        for (uint32_t i = columns; i > 0u; i--) {
            sum += x[at];
            at += next;
        }
        x += next_row;
    }
    return sum;
}

static int32_t largest_of(const int8_t *x, uint32_t rows, uint32_t columns, uint32_t next_row, uint32_t next)
{
    int32_t largest = -128;
    for (; rows > 0u; rows--) {
        uint32_t at = 0;
        for (uint32_t i = columns; i > 0u; i--) {
            largest = x[at] > largest ? x[at] : largest;
            at += next;
        }
        x += next_row;
    }
    return largest;
}

/* The same for a window that goes on at a ring's start. */
__attribute__((noinline)) static int32_t broken(const int8_t *x, const hil_part *part, bool average)
{
    const uint32_t before = part->rows - part->later;
    const int8_t *rest = x + before * part->next_row - part->back;
    if (average) {
        return sum_of(x, before, part->columns, part->next_row, part->next) +
               sum_of(rest, part->later, part->columns, part->next_row, part->next);
    }
    const int32_t one = largest_of(x, before, part->columns, part->next_row, part->next);
    const int32_t other = largest_of(rest, part->later, part->columns, part->next_row, part->next);
    return one > other ? one : other;
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
    part.back = (uint32_t)r->stored.in * part.next_row;
    const int8_t *input = (const int8_t *)hil_at(memory, r->in);
    int8_t *storage = (int8_t *)hil_into(memory, r->out);
    const hil_slide slide = slide_of(r);
    hil_sweep sweep;
    hil_sweep_from(&sweep, &slide, box->r0);
    while (sweep.row < box->r1) {
        hil_sweep_on(&sweep, &slide, &r->stored);
        part.rows = (uint32_t)(sweep.ty.to - sweep.ty.from);
        part.later = (uint32_t)(sweep.ty.to - sweep.turn);
        const bool whole = part.later - 1u >= part.rows;
        const int8_t *first = input + (sweep.first + (uint32_t)sweep.ty.from) * part.next_row;
        int8_t *out = storage + sweep.out;
        int32_t left = -r->pad_left;
        for (int32_t x = 0; x < r->ow; x++) {
            const hil_taps tx = hil_taps_inside(left, r->iw, r->kw, 1);
            part.columns = (uint32_t)(tx.to - tx.from);
            const int8_t *window = first + (uint32_t)(left + tx.from) * part.next;
            for (uint32_t c = box->c0; c < box->c1; c++) {
                int32_t value;
                if (whole) {
                    value = average ? sum_of(window + c, part.rows, part.columns, part.next_row, part.next)
                                    : largest_of(window + c, part.rows, part.columns, part.next_row, part.next);
                } else {
                    value = broken(window + c, &part, average);
                }
                value = average ? mean_of(value, part.rows * part.columns) : value;
                out[c] = (int8_t)hil_clamp(value, 0, r->lo, r->hi);
            }
            left += r->stride_w;
            out += r->channels;
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
