/* TIMER0, 64 bits of microseconds (section 12.8), and the core's cycle counter (ARMv8-M manual, B14.5). */
#include "port.h"
#include "registers.h"
#include "rp2350.h"

void rp2350_start_clock_counters(void)
{
    *reg(TICKS_TIMER0_CYCLES) = 12; /* 12 MHz / 12: a tick is a microsecond */
    *reg(TICKS_TIMER0_CTRL) = TICKS_ENABLE;
    clear_bits(RESETS_RESET, RESET_TIMER0);
    wait_bits(RESETS_DONE, RESET_TIMER0);
    *reg(DEMCR) |= DEMCR_TRACE;
    *reg(DWT_CYCCNT) = 0;
    *reg(DWT_CTRL) |= DWT_COUNT_CYCLES;
}

uint64_t hil_port_us(void)
{
    /* The latching pair of registers is shared by both cores; the raw pair is read until it holds still. */
    uint32_t high = *reg(TIMER0_RAW_HIGH);
    for (;;) {
        const uint32_t low = *reg(TIMER0_RAW_LOW);
        const uint32_t again = *reg(TIMER0_RAW_HIGH);
        if (again == high) {
            return (uint64_t)high << 32 | low;
        }
        high = again;
    }
}

uint32_t hil_port_ticks(void)
{
    return *reg(DWT_CYCCNT);
}

uint32_t hil_port_tick_mask(void)
{
    return UINT32_MAX;
}

uint32_t hil_port_ticks_per_us_q16(void)
{
    return (uint32_t)(((uint64_t)HIL_CLOCK_HZ << 16) / 1000000u);
}

uint32_t hil_port_clock_hz(void)
{
    return HIL_CLOCK_HZ;
}
