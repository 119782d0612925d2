#include "link.h"

#include "hil_engine.h"
#include "port.h"

uint32_t hil_get32(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

void hil_put32(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
    to[2] = (uint8_t)(value >> 16);
    to[3] = (uint8_t)(value >> 24);
}

static bool check(hil_receiver *receiver, hil_frame *frame)
{
    uint8_t *data = receiver->data;
    const uint32_t bytes = hil_cobs_decode(data, receiver->used);
    if (bytes < HIL_LINK_HEADER + HIL_LINK_CRC) {
        return false;
    }
    const uint32_t covered = bytes - HIL_LINK_CRC;
    const uint32_t payload = (uint32_t)data[4] | (uint32_t)data[5] << 8;
    if (payload != covered - HIL_LINK_HEADER || payload > HIL_LINK_MTU ||
        hil_crc32(0, data, covered) != hil_get32(data + covered)) {
        return false;
    }
    frame->version = data[0];
    frame->kind = data[1];
    frame->sequence = (uint16_t)(data[2] | data[3] << 8);
    frame->bytes = (uint16_t)payload;
    frame->status = data[6];
    frame->payload = data + HIL_LINK_HEADER;
    return true;
}

bool hil_receive(hil_receiver *receiver, uint8_t byte, hil_frame *frame)
{
    if (byte != 0u) {
        if (receiver->used < sizeof receiver->data) {
            receiver->data[receiver->used++] = byte;
        } else {
            receiver->too_long = true;
        }
        return false;
    }
    const bool whole = receiver->used > 0u && !receiver->too_long && check(receiver, frame);
    receiver->used = 0;
    receiver->too_long = false;
    return whole;
}

/* Encodes on the way out, so that no second buffer is needed. */
static void send_stuffed(const uint8_t *data, uint32_t bytes)
{
    uint32_t at = 0;
    bool more = true;
    while (more) {
        uint32_t run = 0;
        while (run < 254u && at + run < bytes && data[at + run] != 0u) {
            run++;
        }
        hil_port_putc((uint8_t)(run + 1u));
        for (uint32_t i = 0; i < run; i++) {
            hil_port_putc(data[at + i]);
        }
        at += run;
        if (run < 254u) {
            /* A zero, or the end: the end reads as a zero that the decoder drops. */
            more = at < bytes;
            at++;
        } else {
            more = at < bytes;
        }
    }
}

void hil_send(uint8_t *buffer, uint8_t kind, uint16_t sequence, uint8_t status, uint32_t bytes)
{
    const uint32_t covered = HIL_LINK_HEADER + bytes;
    buffer[0] = HIL_LINK_VERSION;
    buffer[1] = kind;
    buffer[2] = (uint8_t)sequence;
    buffer[3] = (uint8_t)(sequence >> 8);
    buffer[4] = (uint8_t)bytes;
    buffer[5] = (uint8_t)(bytes >> 8);
    buffer[6] = status;
    buffer[7] = 0;
    hil_put32(buffer + covered, hil_crc32(0, buffer, covered));
    /* The zero in front ends whatever noise or half a frame came before. */
    hil_port_putc(0);
    send_stuffed(buffer, covered + HIL_LINK_CRC);
    hil_port_putc(0);
}
