#ifndef HIL_STM32L4R5_H
#define HIL_STM32L4R5_H

/* Starts the microsecond timer and the cycle counter; their clock must be on. */
void stm32l4r5_start_clock_counters(void);

/* LPUART1 on PG7 (TX) and PG8 (RX), which lead to the ST-LINK; 8N1, HIL_BAUD. VddIO2 and the clocks must be on. */
void stm32l4r5_start_console(void);

#endif
