#include "cobs.h"

uint32_t hil_cobs_decode(uint8_t *data, uint32_t bytes)
{
    uint32_t from = 0;
    uint32_t to = 0;
    while (from < bytes) {
        const uint32_t code = data[from++];
        if (code == 0u || code - 1u > bytes - from) {
            return 0;
        }
        for (uint32_t i = 1; i < code; i++) {
            data[to++] = data[from++];
        }
        if (code != 255u && from < bytes) {
            data[to++] = 0;
        }
    }
    return to;
}
