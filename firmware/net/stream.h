/* Frames on a stream of bytes: 0x00 | COBS(frame) | 0x00, made and read byte by byte on the way, so that no second
 * buffer is needed. Inline: this runs for each byte of a fast line. */
#ifndef HIL_STREAM_H
#define HIL_STREAM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint32_t at;   /* the next byte of the frame */
    uint32_t left; /* bytes of this group that are still to be sent */
    uint32_t part; /* HIL_STREAM_.. */
    bool full;     /* this group has 254 bytes: no zero follows it */
} hil_stuffer;

enum { HIL_STREAM_IDLE = 0, HIL_STREAM_CODE = 1, HIL_STREAM_DATA = 2, HIL_STREAM_END = 3 };

/* The next byte of the line for `frame`; part HIL_STREAM_IDLE behind it means that it was the last. Begin with part
 * HIL_STREAM_IDLE: the zero in front ends whatever noise came before. */
static inline uint8_t hil_stuff(hil_stuffer *s, const uint8_t *frame, uint32_t bytes)
{
    if (s->part == HIL_STREAM_DATA) {
        const uint8_t byte = frame[s->at++];
        s->left--;
        if (s->left == 0u) {
            s->part = s->at >= bytes ? HIL_STREAM_END : HIL_STREAM_CODE;
            s->at += s->full ? 0u : 1u;
        }
        return byte;
    }
    if (s->part == HIL_STREAM_CODE) {
        uint32_t run = 0;
        while (run < 254u && s->at + run < bytes && frame[s->at + run] != 0u) {
            run++;
        }
        s->left = run;
        s->full = run == 254u;
        if (run > 0u) {
            s->part = HIL_STREAM_DATA;
        } else {
            /* A zero, or the end behind a zero, which reads as one that the decoder drops. */
            s->part = s->at >= bytes ? HIL_STREAM_END : HIL_STREAM_CODE;
            s->at++;
        }
        return (uint8_t)(run + 1u);
    }
    const bool begins = s->part == HIL_STREAM_IDLE;
    s->at = 0;
    s->part = begins ? HIL_STREAM_CODE : HIL_STREAM_IDLE;
    return 0;
}

typedef struct {
    uint32_t used; /* bytes of the frame so far */
    uint32_t left; /* bytes of this group that are still to come */
    bool zero;     /* a zero follows this group, unless the frame ends */
    bool bad;      /* too long: skip to the next zero */
} hil_unstuffer;

/* Takes the next byte of the line. The bytes of the frame that it completes, or 0. */
static inline uint32_t hil_unstuff(hil_unstuffer *u, uint8_t byte, uint8_t *frame, uint32_t room)
{
    if (byte == 0u) {
        const uint32_t bytes = u->left == 0u && !u->bad ? u->used : 0u;
        u->used = 0;
        u->left = 0;
        u->zero = false;
        u->bad = false;
        return bytes;
    }
    const bool code = u->left == 0u;
    const bool stores = !code || u->zero;
    if (stores) {
        if (u->used < room) {
            frame[u->used++] = code ? 0u : byte;
        } else {
            u->bad = true;
        }
    }
    if (code) {
        u->left = byte - 1u;
        u->zero = byte != 255u;
    } else {
        u->left--;
    }
    return 0;
}

#endif
