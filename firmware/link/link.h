/* Frames: 0x00 | COBS(header | payload | CRC-32) | 0x00, see docs/protocol.md. One request is dealt with at a time. */
#ifndef HIL_LINK_H
#define HIL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "cobs.h"
#include "protocol.h"

/* A checked frame; the payload lies in the receiver's buffer until its next byte is taken. */
typedef struct {
    uint8_t version;
    uint8_t kind;
    uint16_t sequence;
    uint16_t bytes;
    uint8_t status;
    const uint8_t *payload;
} hil_frame;

#define HIL_FRAME_ROOM (HIL_LINK_HEADER + HIL_LINK_MTU + HIL_LINK_CRC)

typedef struct {
    uint32_t used;
    bool too_long; /* skip to the next zero */
    uint8_t data[HIL_COBS_ROOM(HIL_FRAME_ROOM)];
} hil_receiver;

/* Takes one byte. True if it completed a frame whose length and CRC are right; everything else is dropped silently:
 * the host asks again. */
bool hil_receive(hil_receiver *receiver, uint8_t byte, hil_frame *frame);

/* Sends `buffer`, which holds room for a header, then `bytes` of payload, then room for a CRC. */
void hil_send(uint8_t *buffer, uint8_t kind, uint16_t sequence, uint8_t status, uint32_t bytes);

uint32_t hil_get32(const uint8_t *from);
void hil_put32(uint8_t *to, uint32_t value);

#endif
