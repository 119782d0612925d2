/* The part of a filter that lies inside the input, along one axis. */
#ifndef HIL_WINDOW_H
#define HIL_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int32_t from, to; /* taps [from, to) lie inside */
} hil_taps;

/* Where the rows of a window lie in storage that may be a ring. */
typedef struct {
    uint32_t first; /* of the window's first tap; below 0 (wrapped) where that is in the padding */
    int32_t turn;   /* taps from this one on lie a whole ring before that; none does if it is the end of those inside */
} hil_rows;

/* True if an axis with these sizes can be walked: every window starts before the input's end and ends after its
 * start, and no position needs more than 30 bits. */
bool hil_axis_ok(int32_t in, int32_t out, int32_t taps, int32_t stride, int32_t dilation, int32_t pad);

/* Taps of a window whose first one is at `start` (negative: in the padding). */
hil_taps hil_taps_inside(int32_t start, int32_t size, int32_t taps, int32_t dilation);

/* True if `stored` rows can stand for `batch` images of `size` rows, of which a window needs `reach` at a time: they are
 * all of them, or, of a single image, a ring that holds a window. */
bool hil_stored_ok(int32_t stored, int32_t batch, int32_t size, int64_t reach);

/* The rows of a window whose first tap is at row `row` (wrapped: in the padding) and of which `taps` are inside. */
hil_rows hil_rows_of(uint32_t row, const hil_taps *taps, int32_t dilation, int32_t stored);

#endif
