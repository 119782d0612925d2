/* The 64-bit microsecond timer (section 4.6) and SysTick as a 24-bit cycle counter (ARMv6-M manual, B3.3). */
#include "port.h"
#include "registers.h"
#include "rp2040.h"

void rp2040_start_clock_counters(void)
{
    *reg(WATCHDOG_TICK) = WATCHDOG_TICK_ENABLE | 12u; /* 12 MHz / 12: a tick is a microsecond */
    clear_bits(RESETS_RESET, RESET_TIMER);
    wait_bits(RESETS_DONE, RESET_TIMER);
    *reg(SYST_RVR) = SYST_MAX;
    *reg(SYST_CVR) = 0;
    *reg(SYST_CSR) = SYST_RUN_ON_CPU_CLOCK;
}

uint64_t hil_port_us(void)
{
    /* The latching pair of registers is shared by both cores; the raw pair is read until it holds still. */
    uint32_t high = *reg(TIMER_RAW_HIGH);
    for (;;) {
        const uint32_t low = *reg(TIMER_RAW_LOW);
        const uint32_t again = *reg(TIMER_RAW_HIGH);
        if (again == high) {
            return (uint64_t)high << 32 | low;
        }
        high = again;
    }
}

uint32_t hil_port_ticks(void)
{
    return SYST_MAX - *reg(SYST_CVR); /* SysTick counts down */
}

uint32_t hil_port_tick_mask(void)
{
    return SYST_MAX;
}

uint32_t hil_port_ticks_per_us_q16(void)
{
    return (uint32_t)(((uint64_t)HIL_CLOCK_HZ << 16) / 1000000u);
}

uint32_t hil_port_clock_hz(void)
{
    return HIL_CLOCK_HZ;
}
