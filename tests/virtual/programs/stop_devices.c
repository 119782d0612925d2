/* Loads and stores of every width on the APB bridge and on the single-cycle I/O port, where registers only hold what
 * was written to them, in a loop that also works in memory. */
#include "stop.h"

#define SCRATCH ((volatile uint32_t *)0x4005800cu)
#define GPIO_OUT (*(volatile uint32_t *)0xd0000010u)
#define GPIO_OUT_SET (*(volatile uint32_t *)0xd0000014u)
#define GPIO_OUT_CLR (*(volatile uint32_t *)0xd0000018u)
#define GPIO_OUT_XOR (*(volatile uint32_t *)0xd000001cu)
#define SPINLOCK ((volatile uint32_t *)0xd0000100u)
#define CPUID (*(volatile uint32_t *)0xd0000000u)
#define VTOR (*(volatile uint32_t *)0xe000ed08u)

void main(void)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 200; i++) {
        SCRATCH[i & 7u] = i * 0x01010101u;
        sum = sum * 3u + SCRATCH[(i + 3u) & 7u] * (i > 8);
        sum += ((volatile uint8_t *)&SCRATCH[i & 7u])[i & 3u];
        sum += ((volatile uint16_t *)&SCRATCH[i & 7u])[i & 1u];
        sum += (uint32_t)((volatile int8_t *)&SCRATCH[i & 7u])[i >> 1 & 3u];
        sum += (uint32_t)((volatile int16_t *)&SCRATCH[i & 7u])[i >> 2 & 1u];
        GPIO_OUT = i << 4;
        GPIO_OUT_SET = 3u;
        GPIO_OUT_CLR = i;
        GPIO_OUT_XOR = 0x155u;
        sum ^= GPIO_OUT + CPUID;
        if (SPINLOCK[i & 31u] != 0u) SPINLOCK[i & 31u] = 1u;
        sum += VTOR;
    }
    ANSWER[0] = sum;
    stop();
}
