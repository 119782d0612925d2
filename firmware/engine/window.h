/* Windows that slide over an image: what convolutions and pools share. */
#ifndef HIL_WINDOW_H
#define HIL_WINDOW_H

#include "kernel.h"

/* A window's walk over `batch` images: sizes of input, output and filter, and how the one moves over the other. */
typedef struct {
    int32_t batch, ih, iw, ic, oh, ow, oc, kh, kw;
    int32_t stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
} hil_slide;

/* Rows of storage of input and output: row y (of batch * height) lies at y % these. Fewer than all are a ring. */
typedef struct {
    int32_t in, out;
} hil_stored;

/* The part of a filter that lies inside the input, along one axis. */
typedef struct {
    int32_t from, to; /* taps [from, to) lie inside */
} hil_taps;

/* One row of the output after the other, and where it reads and writes. */
typedef struct {
    uint32_t row, image; /* the next row, of all images; and its image */
    int32_t y;           /* the next row's place in its image */
    hil_taps ty;         /* of this row, as all that follows */
    uint32_t first;      /* row of storage of the window's first tap; below 0 (wrapped) where that is in the padding */
    int32_t turn; /* taps from this one on lie a whole ring before that; none does if it is the end of those inside */
    uint32_t out; /* where the row's elements begin, in elements */
} hil_sweep;

/* True if every window starts before the input's end and ends after its start, no number needs more than 30 bits, rings
 * are of a single image and hold a window, and input and output, of elements of `bytes`, are inside their memory.
 * Then `extent` is the output's. */
bool hil_slide_ok(const hil_limits *limits, const hil_slide *slide, const hil_stored *stored, hil_ref in, hil_ref out,
                  uint32_t bytes, hil_extent *extent);

/* Taps of a window whose first one is at `start` (negative: in the padding). */
hil_taps hil_taps_inside(int32_t start, int32_t size, int32_t taps, int32_t dilation);

/* A sweep that begins at output row `row`. */
void hil_sweep_from(hil_sweep *sweep, const hil_slide *slide, uint32_t row);

/* Goes to the next row. */
void hil_sweep_on(hil_sweep *sweep, const hil_slide *slide, const hil_stored *stored);

#endif
