/* The firmware's stuffing of frames on a stream, for tests. */
#include "stream.h"

uint32_t stream_stuff(const uint8_t *frame, uint32_t bytes, uint8_t *line);
uint32_t stream_unstuff(const uint8_t *line, uint32_t bytes, uint32_t room, uint8_t *frames, uint32_t *sizes);

/* The line's bytes for a frame; how many. */
uint32_t stream_stuff(const uint8_t *frame, uint32_t bytes, uint8_t *line)
{
    hil_stuffer out = {0};
    uint32_t count = 0;
    do {
        line[count++] = hil_stuff(&out, frame, bytes);
    } while (out.part != HIL_STREAM_IDLE);
    return count;
}

/* The frames of a line, one behind the other; their sizes, and how many. */
uint32_t stream_unstuff(const uint8_t *line, uint32_t bytes, uint32_t room, uint8_t *frames, uint32_t *sizes)
{
    hil_unstuffer in = {0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        const uint32_t whole = hil_unstuff(&in, line[i], frames, room);
        if (whole > 0u) {
            sizes[count++] = whole;
            frames += whole;
        }
    }
    return count;
}
