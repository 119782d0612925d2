/* The part of a filter that lies inside the input, along one axis. */
#ifndef HIL_WINDOW_H
#define HIL_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int32_t from, to; /* taps [from, to) lie inside */
} hil_taps;

/* True if an axis with these sizes can be walked: every window starts before the input's end and ends after its
 * start, and no position needs more than 30 bits. */
bool hil_axis_ok(int32_t in, int32_t out, int32_t taps, int32_t stride, int32_t dilation, int32_t pad);

/* Taps of a window whose first one is at `start` (negative: in the padding). */
hil_taps hil_taps_inside(int32_t start, int32_t size, int32_t taps, int32_t dilation);

#endif
