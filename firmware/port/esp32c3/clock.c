/* The system timer (16 MHz) for microseconds, and the core's event counter, set to count cycles. */
#include "esp32c3.h"
#include "port.h"
#include "registers.h"

void esp32c3_start_counters(void)
{
    set_bits(SYSTIMER_CONF, SYSTIMER_CONF_UNIT0);
    /* mpcer: count cycles; mpccr: from 0; mpcmr: go. They have no names in assemblers. */
    __asm__ volatile("csrwi 0x7e0, 1\n\tcsrwi 0x7e2, 0\n\tcsrwi 0x7e1, 1" : : : "memory");
}

uint64_t hil_port_us(void)
{
    /* Both words are copied at once. */
    *reg(SYSTIMER_UNIT0_OP) = SYSTIMER_OP_UPDATE;
    while ((*reg(SYSTIMER_UNIT0_OP) & SYSTIMER_OP_VALID) == 0u) {
    }
    const uint32_t low = *reg(SYSTIMER_UNIT0_LOW);
    const uint32_t high = *reg(SYSTIMER_UNIT0_HIGH);
    return ((uint64_t)high << 32 | low) >> SYSTIMER_SHIFT_PER_US;
}

uint32_t hil_port_ticks(void)
{
    uint32_t count = 0;
    __asm__ volatile("csrr %0, 0x7e2" : "=r"(count) : : "memory");
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
