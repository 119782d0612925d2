#ifndef HIL_STM32L4R5_H
#define HIL_STM32L4R5_H

#include <stdbool.h>
#include <stdint.h>

/* Starts the microsecond timer and the cycle counter; their clock must be on. */
void stm32l4r5_start_clock_counters(void);

/* LPUART1 on PG7 (TX) and PG8 (RX), which lead to the ST-LINK; 8N1, HIL_BAUD. VddIO2 and the clocks must be on. */
void stm32l4r5_start_console(void);

/* MSI alone, which all clocks come from, is off by a percent: the board's crystal of 32768 Hz keeps it right (section 6.2.3) once
 * it swings, up to 2 s after power-on. Nobody waits for that: whoever waits for something else asks whether it does, and then
 * lets MSI follow it. Gives -1. */
extern bool stm32l4r5_follows_crystal;
int32_t stm32l4r5_follow_crystal(void);

#endif
