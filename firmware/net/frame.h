/* What nodes say to each other: a header of 32 bytes, a payload, a CRC-32 of both. docs/network.md says what it means.
 * All values little-endian. */
#ifndef HIL_NET_FRAME_H
#define HIL_NET_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#define HIL_NET_VERSION 1u
#define HIL_NET_HEADER 32u
#define HIL_NET_MTU 512u /* the largest payload */
#define HIL_NET_CRC 4u
#define HIL_NET_FRAME (HIL_NET_HEADER + HIL_NET_MTU + HIL_NET_CRC)

enum { HIL_NET_START = 1, HIL_NET_CREDIT = 2, HIL_NET_DATA = 3, HIL_NET_ACK = 4, HIL_NET_PROBE = 5, HIL_NET_ABORT = 6 };

typedef struct {
    uint8_t kind;
    uint8_t source;  /* the node that sends */
    uint16_t peers;  /* bit mask of those it is for */
    uint16_t length; /* bytes of payload */
    uint32_t run;
    uint32_t transfer;
    uint32_t sequence;
    uint32_t offset; /* in the message */
    uint32_t total;  /* bytes of the message; of a CREDIT, bytes that may be sent from `offset` on */
} hil_net_head;

/* Writes header and CRC around the payload that lies at frame + HIL_NET_HEADER. The bytes of the frame. */
uint32_t hil_net_pack(uint8_t *frame, const hil_net_head *head);

/* Reads the header of `bytes` received ones. False for a frame that is not sound: version, kind, length, zeros, CRC, or
 * a peers mask or source that is not of `nodes` nodes. */
bool hil_net_unpack(const uint8_t *frame, uint32_t bytes, uint32_t nodes, hil_net_head *head);

/* CRC-32 as zlib's. */
uint32_t hil_net_crc(const uint8_t *data, uint32_t bytes);

#endif
