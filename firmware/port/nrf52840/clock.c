/* TIMER0, 32 bits of microseconds (section 6.30), and the core's cycle counter (ARMv7-M manual, C1.8.8). */
#include "nrf52840.h"
#include "port.h"
#include "registers.h"

void nrf52840_start_clock_counters(void)
{
    *reg(TIMER0_MODE) = 0; /* it counts time, not events */
    *reg(TIMER0_BITMODE) = TIMER_32_BITS;
    *reg(TIMER0_PRESCALER) = TIMER_1_MHZ;
    *reg(TIMER0_CLEAR) = 1;
    *reg(TIMER0_START) = 1;
    start_cycle_counter();
}

uint64_t hil_port_us(void)
{
    *reg(TIMER0_CAPTURE0) = 1; /* the counter itself cannot be read */
    return widened(*reg(TIMER0_CC0));
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
