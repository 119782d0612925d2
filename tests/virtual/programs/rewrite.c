/* Runs code in RAM, rewrites it, and runs it again: three times, on a page that also holds data. */
#include "chip.h"

static uint32_t call(volatile uint16_t *code)
{
    return ((uint32_t(*)(void))((uint32_t)code | 1))();
}

void main(void)
{
    volatile uint16_t *code = (volatile uint16_t *)0x20010000u;
    code[1] = 0x4770;
    for (uint16_t i = 0; i < 3; i++) {
        code[0] = (uint16_t)(0x2000 + 11 * (i + 1));
        code[20] = i;
        RESULT[i] = call(code) + 256u * code[20];
    }
    RESULT[3] = 0xd03e;
}
