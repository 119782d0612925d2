#include "message.h"

#include "words.h"

/* Where the walk over the runs is. */
typedef struct {
    uint32_t slot;   /* run in storage */
    uint32_t within; /* byte of that run */
} place;

static place find(const hil_message *message, uint32_t offset)
{
    const hil_transfer *record = message->record;
    const uint32_t run = (uint32_t)record->run;
    const uint32_t skipped = offset / run;
    const place found = {(message->step->box.r0 + skipped) % (uint32_t)record->ring, offset - skipped * run};
    return found;
}

/* The bytes that lie together here, `bytes` at most; moves on behind them. */
static uint8_t *next(const hil_message *message, place *at, uint32_t bytes, uint32_t *together)
{
    const hil_transfer *record = message->record;
    const uint32_t rest = (uint32_t)record->run - at->within;
    uint8_t *here = message->arena + record->out + at->slot * (uint32_t)record->stride + at->within;
    *together = bytes < rest ? bytes : rest;
    at->within = 0; /* if this is not the end of the run, it is the end of the walk */
    at->slot = at->slot + 1u == (uint32_t)record->ring ? 0u : at->slot + 1u;
    return here;
}

/* Words where both ends are aligned, as records and frames mostly are. */
static void copy(uint8_t *restrict to, const uint8_t *restrict from, uint32_t bytes)
{
    uint32_t i = 0;
    if ((((uintptr_t)to | (uintptr_t)from) & 3u) == 0u) {
        hil_word *words = (hil_word *)(void *)to;
        for (; i + 16u <= bytes; i += 16u) {
            const hil_word *read = hil_words(from + i);
            const uint32_t a = read[0], b = read[1], c = read[2], d = read[3];
            words[0] = a;
            words[1] = b;
            words[2] = c;
            words[3] = d;
            words += 4;
        }
    }
    for (; i < bytes; i++) {
        to[i] = from[i];
    }
}

static void add(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    hil_word *sums = (hil_word *)(void *)to;
    const hil_word *parts = hil_words(from);
    for (uint32_t i = 0; i < bytes / 4u; i++) {
        sums[i] += parts[i];
    }
}

uint32_t hil_message_bytes(const hil_message *message)
{
    return (message->step->box.r1 - message->step->box.r0) * (uint32_t)message->record->run;
}

void hil_message_read(const hil_message *message, uint32_t offset, uint8_t *to, uint32_t bytes)
{
    place at = find(message, offset);
    while (bytes > 0u) {
        uint32_t together = 0;
        const uint8_t *from = next(message, &at, bytes, &together);
        copy(to, from, together);
        to += together;
        bytes -= together;
    }
}

void hil_message_write(const hil_message *message, uint32_t offset, const uint8_t *from, uint32_t bytes)
{
    place at = find(message, offset);
    while (bytes > 0u) {
        uint32_t together = 0;
        uint8_t *to = next(message, &at, bytes, &together);
        if (message->record->add != 0) {
            add(to, from, together);
        } else {
            copy(to, from, together);
        }
        from += together;
        bytes -= together;
    }
}
