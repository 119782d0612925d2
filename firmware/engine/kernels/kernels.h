/* Records and functions of all kernels. Field by field as in hil/plan/kernels. */
#ifndef HIL_KERNELS_H
#define HIL_KERNELS_H

#include "kernel.h"

typedef struct {
    hil_record head;
    hil_ref in, out, table;
    int32_t rows, channels;
} hil_lookup;

hil_status hil_check_lookup(const hil_limits *limits, const hil_lookup *record, hil_extent *extent);
void hil_run_lookup(const hil_memory *memory, const hil_lookup *record, const hil_box *box);

/* Of each output channel: bias, the same with the input's zero point folded in (bias - in_zp * sum of weights), and
 * the multiplier and shift of hil_requantise. */
typedef struct {
    int32_t bias, folded, multiplier, shift;
} hil_channel;

typedef struct {
    hil_record head;
    hil_ref in, out, weights, params; /* weights [oc][kh][kw][ic / groups]; hil_channel[oc] */
    int32_t batch, ih, iw, ic, oh, ow, oc, kh, kw;
    int32_t stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
    int32_t groups, in_zp, out_zp, lo, hi, weight_zp;
} hil_conv;

hil_status hil_check_conv(const hil_limits *limits, const hil_conv *record, hil_extent *extent);
void hil_run_conv(const hil_memory *memory, const hil_conv *record, const hil_box *box);

typedef struct {
    hil_record head;
    hil_ref in, out, weights, params; /* weights [kh][kw][oc]; hil_channel[oc] */
    int32_t batch, ih, iw, ic, oh, ow, oc, kh, kw;
    int32_t stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
    int32_t in_zp, out_zp, lo, hi;
} hil_depthwise;

hil_status hil_check_depthwise(const hil_limits *limits, const hil_depthwise *record, hil_extent *extent);
void hil_run_depthwise(const hil_memory *memory, const hil_depthwise *record, const hil_box *box);

/* By kind. */
hil_status hil_check_kernel(const hil_limits *limits, const hil_record *record, hil_extent *extent);
void hil_run_kernel(const hil_memory *memory, const hil_record *record, const hil_box *box);

#endif
