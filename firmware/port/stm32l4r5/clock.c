/* TIM2, 32 bits of microseconds (section 38), and the core's cycle counter (ARMv7-M manual, C1.8.8). */
#include "port.h"
#include "registers.h"
#include "stm32l4r5.h"

bool stm32l4r5_follows_crystal;

int32_t stm32l4r5_follow_crystal(void)
{
    *reg(RCC_CR) |= RCC_CR_MSI_BY_LSE;
    stm32l4r5_follows_crystal = true;
    return -1;
}

void stm32l4r5_start_clock_counters(void)
{
    *reg(TIM2_PSC) = HIL_CLOCK_HZ / 1000000u - 1u;
    *reg(TIM2_ARR) = UINT32_MAX;
    *reg(TIM2_EGR) = 1; /* the divider counts from an update on; this one sets the counter to 0 */
    *reg(TIM2_CR1) = 1;
    start_cycle_counter();
}

uint64_t hil_port_us(void)
{
    return widened(*reg(TIM2_CNT));
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
