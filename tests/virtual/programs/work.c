/* An int8 convolution, over and over: for measuring the virtual board itself. Nothing in it depends on a device. */
#include "chip.h"

#define SIDE 24

static int8_t input[SIDE * SIDE * 8], weights[16 * 9 * 8], output[SIDE * SIDE * 16];

static int32_t pixel(int32_t y, int32_t x, int32_t channel)
{
    int32_t sum = 0;
    for (int32_t row = 0; row < 3; row++) {
        for (int32_t column = 0; column < 3; column++) {
            int32_t at_y = y + row - 1, at_x = x + column - 1;
            if (at_y < 0 || at_y >= SIDE || at_x < 0 || at_x >= SIDE) continue;
            const int8_t *in = input + (at_y * SIDE + at_x) * 8, *by = weights + ((channel * 3 + row) * 3 + column) * 8;
            for (int32_t i = 0; i < 8; i++) sum += (in[i] + 128) * by[i];
        }
    }
    return sum;
}

void main(void)
{
    clocks();
    for (uint32_t i = 0; i < sizeof input; i++) input[i] = (int8_t)(i * 7);
    for (uint32_t i = 0; i < sizeof weights; i++) weights[i] = (int8_t)(i * 13);
    for (uint32_t round = 0;; round++) {
        RESULT[0] = round;
        for (int32_t at = 0; at < SIDE * SIDE * 16; at++)
            output[at] = (int8_t)(pixel(at / 16 / SIDE, at / 16 % SIDE, at % 16) >> 12);
    }
}
