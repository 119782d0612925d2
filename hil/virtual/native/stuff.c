/* Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999) between two zeros, as hil/link/framing.py has it. */
#include <string.h>

#include "machine.h"

uint32_t stuff(const uint8_t *frame, uint32_t bytes, uint8_t *to, uint32_t room)
{
    uint32_t out = 2, code = 1, code_at = 1;
    if (room < bytes + bytes / 254u + 4u) return 0;
    to[0] = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        if (frame[i]) {
            to[out++] = frame[i];
            code++;
        }
        if (frame[i] && (code < 255u || i + 1 == bytes)) continue;
        to[code_at] = (uint8_t)code;
        code_at = out++;
        code = 1;
    }
    to[code_at] = (uint8_t)code;
    to[out++] = 0;
    return out;
}

uint32_t unstuff(const uint8_t *from, uint32_t bytes, uint8_t *to, uint32_t room)
{
    uint32_t out = 0;
    for (uint32_t at = 0; at < bytes;) {
        uint32_t code = from[at];
        if (!code || code > bytes - at || out + code > room) return 0;
        memcpy(to + out, from + at + 1, code - 1u);
        out += code - 1u;
        at += code;
        if (code < 255u && at < bytes) to[out++] = 0;
    }
    return out;
}
