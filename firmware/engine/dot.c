#include "dot.h"

void hil_dot_two(const int8_t *x, const int8_t *w0, const int8_t *w1, int32_t length, uint32_t sums[2])
{
    uint32_t sum0 = sums[0];
    uint32_t sum1 = sums[1];
    int32_t i = -length;
    x += length;
    w0 += length;
    w1 += length;
    do {
        const int32_t value = x[i];
        sum0 += (uint32_t)(value * w0[i]);
        sum1 += (uint32_t)(value * w1[i]);
    } while (++i != 0);
    sums[0] = sum0;
    sums[1] = sum1;
}
