/* float32 softmax and log-softmax over the channels, in the order of the reference's sums. May run in place. */
#include "float_math.h"
#include "kernels.h"
#include "words.h"

static const float LOWEST = -0x1.fffffep127f;

static hil_status check(const hil_limits *limits, hil_ref in, hil_ref out, const int32_t *sizes, hil_extent *extent)
{
    uint64_t elements;
    if (!hil_sizes(sizes, 2, &elements) || !hil_readable(limits, in, 4u * elements, 4u) ||
        !hil_writable(limits, out, 4u * elements, 4u)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)sizes[0], (uint32_t)sizes[1], true};
    return HIL_OK;
}

hil_status hil_check_softmax_float(const hil_limits *limits, const hil_softmax_float *r, hil_extent *extent)
{
    const int32_t sizes[2] = {r->rows, r->channels};
    const bool positive = r->beta > 0 && r->beta < 0x7f800000; /* a finite float32 above 0, by its bits */
    return positive ? check(limits, r->in, r->out, sizes, extent) : HIL_BAD_RECORD;
}

hil_status hil_check_log_softmax_float(const hil_limits *limits, const hil_log_softmax_float *r, hil_extent *extent)
{
    const int32_t sizes[2] = {r->rows, r->channels};
    return check(limits, r->in, r->out, sizes, extent);
}

static float maximum(const hil_float *in, uint32_t channels)
{
    float most = LOWEST;
    for (uint32_t i = 0; i < channels; i++) {
        if (in[i] > most) { /* never true of a NaN */
            most = in[i];
        }
    }
    return most;
}

static void softmax_row(const hil_float *in, hil_float *out, uint32_t channels, float beta)
{
    const float most = maximum(in, channels);
    float sum = 0.0f;
    for (uint32_t i = 0; i < channels; i++) {
        out[i] = hil_exp_of_negative((in[i] - most) * beta);
        sum += out[i];
    }
    for (uint32_t i = 0; i < channels; i++) {
        out[i] = out[i] / sum;
    }
}

static void log_softmax_row(const hil_float *in, hil_float *out, uint32_t channels)
{
    const float most = maximum(in, channels);
    float sum = 0.0f;
    for (uint32_t i = 0; i < channels; i++) {
        sum += hil_exp_of_negative(in[i] - most);
    }
    const float log_sum = hil_log_of_one_or_more(sum);
    for (uint32_t i = 0; i < channels; i++) {
        out[i] = in[i] - most - log_sum;
    }
}

void hil_run_softmax_float(const hil_memory *memory, const hil_softmax_float *r, const hil_box *box)
{
    const union {
        int32_t bits;
        float value;
    } beta = {r->beta};
    const uint32_t channels = (uint32_t)r->channels;
    const hil_float *in = (const hil_float *)(const void *)hil_at(memory, r->in);
    hil_float *out = (hil_float *)(void *)hil_into(memory, r->out);
    for (uint32_t row = box->r0; row < box->r1; row++) {
        softmax_row(in + row * channels, out + row * channels, channels, beta.value);
    }
}

void hil_run_log_softmax_float(const hil_memory *memory, const hil_log_softmax_float *r, const hil_box *box)
{
    const uint32_t channels = (uint32_t)r->channels;
    const hil_float *in = (const hil_float *)(const void *)hil_at(memory, r->in);
    hil_float *out = (hil_float *)(void *)hil_into(memory, r->out);
    for (uint32_t row = box->r0; row < box->r1; row++) {
        log_softmax_row(in + row * channels, out + row * channels, channels);
    }
}
