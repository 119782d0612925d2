/* int8 softmax over the channels, with the exponential of every difference in a table. May run in place. */
#include "arithmetic.h"
#include "fixed_point.h"
#include "kernels.h"
#include "words.h"

enum { ONE = 1 << 19 }; /* 1.0 in Q12 */

hil_status hil_check_softmax(const hil_limits *limits, const hil_softmax *r, hil_extent *extent)
{
    uint64_t elements;
    const int32_t sizes[2] = {r->rows, r->channels};
    if (!hil_sizes(sizes, 2, &elements) || !hil_readable(limits, r->in, elements, 1u) ||
        !hil_readable(limits, r->exps, 1024u, 4u) || !hil_writable(limits, r->out, elements, 1u)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)r->rows, (uint32_t)r->channels, true};
    return HIL_OK;
}

hil_status hil_check_log_softmax(const hil_limits *limits, const hil_log_softmax *r, hil_extent *extent)
{
    uint64_t elements;
    const int32_t sizes[2] = {r->rows, r->channels};
    if (!hil_sizes(sizes, 2, &elements) || !hil_readable(limits, r->in, elements, 1u) ||
        !hil_readable(limits, r->exps, 1024u, 4u) || !hil_readable(limits, r->differences, 1024u, 4u) ||
        !hil_writable(limits, r->out, elements, 1u)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)r->rows, (uint32_t)r->channels, true};
    return HIL_OK;
}

/* What to add to value + 128 for the index of its entry: the last one is for the row's maximum. */
static uint32_t to_entry(const uint8_t *in, uint32_t channels)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < channels; i++) {
        const uint32_t value = in[i] ^ 0x80u;
        most = value > most ? value : most;
    }
    return 255u - most;
}

/* The entry of a value. Above the row's maximum is only what an output that overlaps the input overwrote. */
static uint32_t entry_of(uint8_t value, uint32_t add)
{
    const uint32_t entry = (value ^ 0x80u) + add;
    return entry < 255u ? entry : 255u;
}

/* A sum of exponentials is at least 1 and at most 2^12; a table that is none could say otherwise. */
static int32_t limit_sum(uint32_t sum)
{
    if (sum < (uint32_t)ONE) {
        return ONE;
    }
    return sum > (uint32_t)INT32_MAX ? INT32_MAX : (int32_t)sum;
}

static void softmax_row(const hil_word *exps, const uint8_t *in, uint8_t *out, uint32_t channels)
{
    const uint32_t add = to_entry(in, channels);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < channels; i++) {
        sum += (exps[entry_of(in[i], add)] + 2048u) >> 12; /* Q0 to Q12 */
    }
    const uint32_t total = (uint32_t)limit_sum(sum);
    const uint32_t zeros = hil_leading_zeros(total);
    const int32_t reciprocal = hil_reciprocal_of_one_plus((int32_t)((total << zeros) ^ 0x80000000u));
    const int32_t shift = 12 - (int32_t)zeros + 31 - 8;
    for (uint32_t i = 0; i < channels; i++) {
        /* From a sum of 512 on (shift > 31), where the reference gives up, every quotient rounds to 0. */
        const int32_t exp = (int32_t)exps[entry_of(in[i], add)];
        const int32_t quotient = shift > 31 ? 0 : hil_requantise(exp, reciprocal, -shift);
        out[i] = (uint8_t)(quotient > 255 ? 127 : quotient - 128);
    }
}

void hil_run_softmax(const hil_memory *memory, const hil_softmax *r, const hil_box *box)
{
    const uint32_t channels = (uint32_t)r->channels;
    const hil_word *exps = hil_words(hil_at(memory, r->exps));
    const uint8_t *in = hil_at(memory, r->in);
    uint8_t *out = hil_into(memory, r->out);
    for (uint32_t row = box->r0; row < box->r1; row++) {
        softmax_row(exps, in + row * channels, out + row * channels, channels);
    }
}

/* From Q5 to sixteenths, halves away from zero. */
static int32_t divide(int32_t x)
{
    const int32_t twice = (x - (x < 0 && x != INT32_MIN ? 1 : 0)) >> 21;
    return (twice >> 1) + (twice & 1);
}

static void log_softmax_row(const hil_memory *memory, const hil_log_softmax *r, const uint8_t *in, uint8_t *out)
{
    const uint32_t channels = (uint32_t)r->channels;
    const hil_word *exps = hil_words(hil_at(memory, r->exps));
    const hil_word *differences = hil_words(hil_at(memory, r->differences));
    const uint32_t add = to_entry(in, channels);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < channels; i++) {
        sum += exps[entry_of(in[i], add)];
    }
    const int32_t log_sum = hil_log_of_at_least_one(limit_sum(sum));
    const int32_t reach = hil_requantise((int32_t)((uint32_t)log_sum ^ 0x80000000u), r->multiplier, r->shift);
    const int32_t lowest = reach > r->lowest ? reach : r->lowest;
    for (uint32_t i = 0; i < channels; i++) {
        const uint32_t entry = entry_of(in[i], add);
        int32_t sixteenths = divide((int32_t)(differences[entry] - (uint32_t)log_sum));
        if ((int32_t)entry - 255 <= lowest || sixteenths < -255) {
            sixteenths = -255;
        }
        out[i] = (uint8_t)(sixteenths > 0 ? 127 : sixteenths + 127);
    }
}

void hil_run_log_softmax(const hil_memory *memory, const hil_log_softmax *r, const hil_box *box)
{
    const uint32_t channels = (uint32_t)r->channels;
    const uint8_t *in = hil_at(memory, r->in);
    uint8_t *out = hil_into(memory, r->out);
    for (uint32_t row = box->r0; row < box->r1; row++) {
        log_softmax_row(memory, r, in + row * channels, out + row * channels);
    }
}
