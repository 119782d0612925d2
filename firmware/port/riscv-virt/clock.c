/* The machine timer (10 MHz) for microseconds, and the count of instructions retired. */
#include "port.h"
#include "registers.h"

uint64_t hil_port_us(void)
{
    uint32_t high = *reg(CLINT_MTIME + 4u);
    for (;;) {
        const uint32_t low = *reg(CLINT_MTIME);
        const uint32_t again = *reg(CLINT_MTIME + 4u);
        if (again == high) {
            /* Once a request, not once a byte: the 64-bit division is of no consequence. */
            return ((uint64_t)high << 32 | low) / CLINT_TICKS_PER_US;
        }
        high = again;
    }
}

uint32_t hil_port_ticks(void)
{
    uint32_t count = 0;
    __asm__ volatile("csrr %0, minstret" : "=r"(count) : : "memory");
    return count;
}

uint32_t hil_port_tick_mask(void)
{
    return 0xffffffffu;
}

uint32_t hil_port_ticks_per_us_q16(void)
{
    return (uint32_t)(((uint64_t)HIL_CLOCK_HZ << 16) / 1000000u);
}

uint32_t hil_port_clock_hz(void)
{
    return HIL_CLOCK_HZ;
}
