/* Holds the microsecond timer against SysTick, at 125 MHz and before that on the ring oscillator. */
#include "chip.h"

static void interval(volatile uint32_t *result, uint32_t microseconds)
{
    uint32_t start = TIMER_RAW_LOW;
    while (TIMER_RAW_LOW == start) { }
    uint32_t from = SYST_CVR, tick = TIMER_RAW_LOW;
    while (TIMER_RAW_LOW - tick < microseconds) { }
    result[0] = from - SYST_CVR;
}

void main(void)
{
    SYST_RVR = 0xffffff;
    SYST_CVR = 0;
    SYST_CSR = 5;
    clocks();
    interval(RESULT, 1000);
    interval(RESULT + 1, 100000);
    CLK_SYS_CTRL = 0; /* back to clk_ref: 12 MHz */
    interval(RESULT + 2, 1000);
    uint32_t low = TIMER_LOW;
    RESULT[3] = TIMER_HIGH;
    RESULT[4] = TIMER_RAW_LOW - low;
    RESULT[5] = 0xd03e;
}
