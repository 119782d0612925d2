/* Records and functions of all kernels. Field by field as in hil/plan/kernels. */
#ifndef HIL_KERNELS_H
#define HIL_KERNELS_H

#include "kernel.h"
#include "window.h"

typedef struct {
    hil_record head;
    hil_ref in, out, table;
    int32_t rows, channels;
} hil_lookup;

hil_status hil_check_lookup(const hil_limits *limits, const hil_lookup *record, hil_extent *extent);
void hil_run_lookup(const hil_memory *memory, const hil_lookup *record, const hil_box *box);

typedef struct {
    hil_record head;
    hil_ref in, out, weights, params; /* weights [oc][kh][kw][ic / groups]; hil_channel[oc] (arithmetic.h) */
    hil_slide slide;
    int32_t groups, in_zp, out_zp, lo, hi, weight_zp;
    hil_stored stored;
} hil_conv;

hil_status hil_check_conv(const hil_limits *limits, const hil_conv *record, hil_extent *extent);
void hil_run_conv(const hil_memory *memory, const hil_conv *record, const hil_box *box);

typedef struct {
    hil_record head;
    hil_ref in, out, weights, params; /* weights [kh][kw][oc]; hil_channel[oc] */
    hil_slide slide;
    int32_t in_zp, out_zp, lo, hi;
    hil_stored stored;
} hil_depthwise;

hil_status hil_check_depthwise(const hil_limits *limits, const hil_depthwise *record, hil_extent *extent);
void hil_run_depthwise(const hil_memory *memory, const hil_depthwise *record, const hil_box *box);

typedef struct {
    hil_record head;
    hil_ref in, out;
    int32_t batch, ih, iw, channels, oh, ow, kh, kw;
    int32_t stride_h, stride_w, pad_top, pad_left, lo, hi;
    hil_stored stored;
} hil_pool;

hil_status hil_check_pool(const hil_limits *limits, const hil_pool *record, hil_extent *extent);
void hil_run_pool_average(const hil_memory *memory, const hil_pool *record, const hil_box *box);
void hil_run_pool_max(const hil_memory *memory, const hil_pool *record, const hil_box *box);

/* Two inputs as the output's elements see them: element (row, x, c) of the output, a row being a multi-index over
 * `dims`, is read at the sum of its indices times the input's strides; stride 0 repeats. */
typedef struct {
    hil_record head;
    hil_ref a, b, out;
    int32_t dims[HIL_RANK], a_strides[HIL_RANK], b_strides[HIL_RANK];
    int32_t width, channels, a_width, a_channel, b_width, b_channel;
    int32_t a_zp, b_zp, out_zp, lo, hi;
} hil_pair;

typedef struct {
    hil_pair pair;
    int32_t a_multiplier, a_shift, b_multiplier, b_shift, multiplier, shift;
    int32_t sign; /* 1: a + b; -1: a - b */
} hil_sum;

hil_status hil_check_add(const hil_limits *limits, const hil_sum *record, hil_extent *extent);
void hil_run_add(const hil_memory *memory, const hil_sum *record, const hil_box *box);

typedef struct {
    hil_pair pair;
    int32_t multiplier, shift;
} hil_mul;

hil_status hil_check_mul(const hil_limits *limits, const hil_mul *record, hil_extent *extent);
void hil_run_mul(const hil_memory *memory, const hil_mul *record, const hil_box *box);

/* Output element (row, x, c) is the mean over reduced x run elements from its place in the input. */
typedef struct {
    hil_record head;
    hil_ref in, out;
    int32_t dims[HIL_RANK], strides[HIL_RANK];            /* rows */
    int32_t reduced[HIL_RANK], reduced_strides[HIL_RANK]; /* summed, but for the innermost dimension */
    int32_t run, run_stride;                              /* the innermost */
    int32_t width, width_stride, channels, channel_stride;
    int32_t offset, multiplier, shift, out_zp; /* offset: -count * the input's zero point */
} hil_mean;

hil_status hil_check_mean(const hil_limits *limits, const hil_mean *record, hil_extent *extent);
void hil_run_mean(const hil_memory *memory, const hil_mean *record, const hil_box *box);

typedef struct {
    hil_record head;
    hil_ref in, out;
    int32_t unit, start; /* bytes of a unit, 1 or 4; where index 0 is in the input, in units, as all strides */
    int32_t dims[HIL_RANK], in_strides[HIL_RANK], out_strides[HIL_RANK];
} hil_copy;

hil_status hil_check_copy(const hil_limits *limits, const hil_copy *record, hil_extent *extent);
void hil_run_copy(const hil_memory *memory, const hil_copy *record, const hil_box *box);

typedef struct {
    hil_record head;
    hil_ref out;
    int32_t rows, channels, value;
} hil_fill;

hil_status hil_check_fill(const hil_limits *limits, const hil_fill *record, hil_extent *extent);
void hil_run_fill(const hil_memory *memory, const hil_fill *record, const hil_box *box);

typedef struct {
    hil_record head;
    hil_ref in, out, table; /* 256 words */
    int32_t rows, channels;
} hil_lookup_word;

hil_status hil_check_lookup_word(const hil_limits *limits, const hil_lookup_word *record, hil_extent *extent);
void hil_run_lookup_word(const hil_memory *memory, const hil_lookup_word *record, const hil_box *box);

typedef struct {
    hil_record head;
    hil_ref in, out, thresholds; /* 255 words */
    int32_t rows, channels;
} hil_quantise;

hil_status hil_check_quantise(const hil_limits *limits, const hil_quantise *record, hil_extent *extent);
void hil_run_quantise(const hil_memory *memory, const hil_quantise *record, const hil_box *box);

typedef struct {
    hil_record head;
    hil_ref in, out, exps; /* Q0; entry 255 - d belongs to a value that lies d below its row's maximum */
    int32_t rows, channels;
} hil_softmax;

hil_status hil_check_softmax(const hil_limits *limits, const hil_softmax *record, hil_extent *extent);
void hil_run_softmax(const hil_memory *memory, const hil_softmax *record, const hil_box *box);

typedef struct {
    hil_record head;
    hil_ref in, out, exps, differences; /* Q12 and Q5, indexed as in hil_softmax */
    int32_t rows, channels;
    int32_t lowest, multiplier, shift;
} hil_log_softmax;

hil_status hil_check_log_softmax(const hil_limits *limits, const hil_log_softmax *record, hil_extent *extent);
void hil_run_log_softmax(const hil_memory *memory, const hil_log_softmax *record, const hil_box *box);

typedef struct {
    hil_record head;
    hil_ref in, out;
    int32_t rows, channels;
    int32_t beta; /* a float32's bits */
} hil_softmax_float;

hil_status hil_check_softmax_float(const hil_limits *limits, const hil_softmax_float *record, hil_extent *extent);
void hil_run_softmax_float(const hil_memory *memory, const hil_softmax_float *record, const hil_box *box);

typedef struct {
    hil_record head;
    hil_ref in, out;
    int32_t rows, channels;
} hil_log_softmax_float;

hil_status hil_check_log_softmax_float(const hil_limits *limits, const hil_log_softmax_float *record,
                                       hil_extent *extent);
void hil_run_log_softmax_float(const hil_memory *memory, const hil_log_softmax_float *record, const hil_box *box);

/* No kernel: where the bytes of a message lie. Logical run i is `run` bytes at out + (i % ring) * stride. */
typedef struct {
    hil_record head;
    hil_ref out;
    int32_t run, stride, ring, runs;
    int32_t add; /* 1: int32 words that are received are added to those there */
} hil_transfer;

hil_status hil_check_transfer(const hil_limits *limits, const hil_transfer *record, hil_extent *extent);

typedef struct {
    hil_record head;
    hil_ref in, out, weights, sums; /* out int32; weights [oc][kh][kw][ic]; sums int32[oc]: what each sum starts with */
    hil_slide slide;
    int32_t in_zp;
    hil_stored stored;
} hil_conv_partial;

hil_status hil_check_conv_partial(const hil_limits *limits, const hil_conv_partial *record, hil_extent *extent);
void hil_run_conv_partial(const hil_memory *memory, const hil_conv_partial *record, const hil_box *box);

typedef struct {
    hil_record head;
    hil_ref in, out, params; /* in int32, out int8, both [rows, width, channels]; hil_channel[channels] */
    int32_t rows, width, channels, out_zp, lo, hi;
} hil_finish_sums;

hil_status hil_check_finish(const hil_limits *limits, const hil_finish_sums *record, hil_extent *extent);
void hil_run_finish(const hil_memory *memory, const hil_finish_sums *record, const hil_box *box);

/* By kind. */
hil_status hil_check_kernel(const hil_limits *limits, const hil_record *record, hil_extent *extent);
void hil_run_kernel(const hil_memory *memory, const hil_record *record, const hil_box *box);

#endif
