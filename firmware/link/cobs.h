/* Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999): bytes without zeros, so that zero ends a frame. */
#ifndef HIL_COBS_H
#define HIL_COBS_H

#include <stdint.h>

/* Bytes that `n` bytes can grow to, the final zero not counted. */
#define HIL_COBS_ROOM(n) ((n) + (n) / 254u + 1u)

/* Decodes `bytes` in place. Returns the decoded length, or 0 if the bytes are not a COBS encoding. */
uint32_t hil_cobs_decode(uint8_t *data, uint32_t bytes);

#endif
