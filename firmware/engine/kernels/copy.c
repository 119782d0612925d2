/* Moves data: a strided loop nest over six dimensions, units of 1 or 4 bytes. Neighbouring dimensions that lie one
 * after the other on both sides are walked as one, so that a plain copy is one long run. */
#include "kernels.h"
#include "words.h"

typedef struct {
    uint32_t count;
    uint32_t in, out; /* strides in units, modulo 2^32 */
} axis;

/* The highest place that a side reaches, and whether its lowest is not below 0. */
static bool reach(const int32_t *dims, const int32_t *strides, int64_t start, uint64_t *units)
{
    int64_t low = start;
    int64_t high = start;
    for (uint32_t i = 0; i < HIL_RANK; i++) {
        const int64_t span = (int64_t)strides[i] * (dims[i] - 1);
        if (span < 0) {
            low += span;
        } else {
            high += span;
        }
    }
    *units = (uint64_t)high + 1u;
    return low >= 0;
}

hil_status hil_check_copy(const hil_limits *limits, const hil_copy *r, hil_extent *extent)
{
    uint64_t elements;
    uint64_t from;
    uint64_t to;
    if ((r->unit != 1 && r->unit != 4) || !hil_sizes(r->dims, HIL_RANK, &elements) ||
        !reach(r->dims, r->in_strides, r->start, &from) || !reach(r->dims, r->out_strides, 0, &to)) {
        return HIL_BAD_RECORD;
    }
    const uint32_t unit = (uint32_t)r->unit;
    /* Strides of 0 must not make more work than there is memory. */
    if (elements * unit > limits->arena_size) {
        return HIL_BAD_RECORD;
    }
    /* `reach` stays below 2^62, so that four times it is no smaller number. */
    if (!hil_readable(limits, r->in, from * unit, unit) || !hil_writable(limits, r->out, to * unit, unit)) {
        return HIL_BAD_RECORD;
    }
    *extent = (hil_extent){(uint32_t)r->dims[0], (uint32_t)r->dims[HIL_RANK - 1], false};
    return HIL_OK;
}

static void copy_words(uint8_t *to, const uint8_t *from, uint32_t words)
{
    hil_word *out = (hil_word *)(void *)to;
    const hil_word *in = hil_words(from);
    for (; words >= 4u; words -= 4u) {
        const uint32_t a = in[0];
        const uint32_t b = in[1];
        const uint32_t c = in[2];
        const uint32_t d = in[3];
        out[0] = a;
        out[1] = b;
        out[2] = c;
        out[3] = d;
        in += 4;
        out += 4;
    }
    for (; words > 0u; words--) {
        *out++ = *in++;
    }
}

static void copy_bytes(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    if (bytes >= 8u && (((uintptr_t)to ^ (uintptr_t)from) & 3u) == 0u) {
        for (; ((uintptr_t)to & 3u) != 0u; bytes--) {
            *to++ = *from++;
        }
        copy_words(to, from, bytes >> 2);
        to += bytes & ~3u;
        from += bytes & ~3u;
        bytes &= 3u;
    }
    for (; bytes > 0u; bytes--) {
        *to++ = *from++;
    }
}

/* One run along the innermost axis. Offsets, not pointers, take the strides: a negative one wraps back into place. */
static void copy_run(uint8_t *out, const uint8_t *in, uint32_t to, uint32_t from, const axis *a, bool words)
{
    if (a->in == 1u && a->out == 1u) {
        if (words) {
            copy_words(out + 4u * to, in + 4u * from, a->count);
        } else {
            copy_bytes(out + to, in + from, a->count);
        }
        return;
    }
    for (uint32_t n = a->count; n > 0u; n--) {
        if (words) {
            ((hil_word *)(void *)out)[to] = hil_words(in)[from];
        } else {
            out[to] = in[from];
        }
        to += a->out;
        from += a->in;
    }
}

/* The box's axes that have more than one place, innermost first; at least one. */
static uint32_t join(const hil_copy *r, const hil_box *box, axis *axes)
{
    uint32_t last = 0;
    axes[0] = (axis){box->c1 - box->c0, (uint32_t)r->in_strides[HIL_RANK - 1], (uint32_t)r->out_strides[HIL_RANK - 1]};
    for (uint32_t i = HIL_RANK - 1; i-- > 0u;) {
        const axis outer = {i == 0u ? box->r1 - box->r0 : (uint32_t)r->dims[i], (uint32_t)r->in_strides[i],
                            (uint32_t)r->out_strides[i]};
        axis *inner = &axes[last];
        if (outer.count == 1u) {
            continue;
        }
        if (inner->count == 1u) {
            *inner = outer;
        } else if (outer.in == inner->in * inner->count && outer.out == inner->out * inner->count) {
            inner->count *= outer.count;
        } else {
            axes[++last] = outer;
        }
    }
    return last + 1u;
}

void hil_run_copy(const hil_memory *memory, const hil_copy *r, const hil_box *box)
{
    axis axes[HIL_RANK];
    uint32_t at[HIL_RANK] = {0};
    const uint32_t count = join(r, box, axes);
    const uint8_t *in = hil_at(memory, r->in);
    uint8_t *out = hil_into(memory, r->out);
    uint32_t from = (uint32_t)r->start + box->r0 * (uint32_t)r->in_strides[0] +
                    box->c0 * (uint32_t)r->in_strides[HIL_RANK - 1];
    uint32_t to = box->r0 * (uint32_t)r->out_strides[0] + box->c0 * (uint32_t)r->out_strides[HIL_RANK - 1];
    uint32_t i;
    do {
        copy_run(out, in, to, from, axes, r->unit == 4);
        for (i = 1; i < count; i++) { /* the next place of the outer axes, like a mileage counter */
            from += axes[i].in;
            to += axes[i].out;
            if (++at[i] < axes[i].count) {
                break;
            }
            from -= axes[i].in * axes[i].count;
            to -= axes[i].out * axes[i].count;
            at[i] = 0;
        }
    } while (i < count);
}
