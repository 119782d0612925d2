#include "frame.h"

#include "link.h"

uint32_t hil_net_pack(uint8_t *frame, const hil_net_head *head)
{
    frame[0] = HIL_NET_VERSION;
    frame[1] = head->kind;
    frame[2] = head->source;
    frame[3] = 0;
    hil_put32(frame + 4, (uint32_t)head->peers | (uint32_t)head->length << 16);
    hil_put32(frame + 8, head->run);
    hil_put32(frame + 12, head->transfer);
    hil_put32(frame + 16, head->sequence);
    hil_put32(frame + 20, head->offset);
    hil_put32(frame + 24, head->total);
    hil_put32(frame + 28, 0);
    const uint32_t covered = HIL_NET_HEADER + head->length;
    hil_put32(frame + covered, hil_net_crc(frame, covered));
    return covered + HIL_NET_CRC;
}

bool hil_net_unpack(const uint8_t *frame, uint32_t bytes, uint32_t nodes, hil_net_head *head)
{
    if (bytes < HIL_NET_HEADER + HIL_NET_CRC || bytes > HIL_NET_FRAME) {
        return false;
    }
    const uint32_t covered = bytes - HIL_NET_CRC;
    const uint32_t both = hil_get32(frame + 4);
    head->kind = frame[1];
    head->source = frame[2];
    head->peers = (uint16_t)both;
    head->length = (uint16_t)(both >> 16);
    if (frame[0] != HIL_NET_VERSION || head->kind < HIL_NET_START || head->kind > HIL_NET_ABORT || frame[3] != 0u ||
        head->source >= nodes || head->peers == 0u || (uint32_t)head->peers >> nodes != 0u ||
        head->length != covered - HIL_NET_HEADER || (head->kind == HIL_NET_DATA) != (head->length > 0u) ||
        hil_get32(frame + 28) != 0u || hil_net_crc(frame, covered) != hil_get32(frame + covered)) {
        return false;
    }
    head->run = hil_get32(frame + 8);
    head->transfer = hil_get32(frame + 12);
    head->sequence = hil_get32(frame + 16);
    head->offset = hil_get32(frame + 20);
    head->total = hil_get32(frame + 24);
    return true;
}
