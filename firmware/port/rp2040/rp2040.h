#ifndef HIL_RP2040_H
#define HIL_RP2040_H

/* Starts the microsecond timer and the cycle counter; clk_ref must be at 12 MHz. */
void rp2040_start_clock_counters(void);

/* Puts core 1 back into the boot ROM, wherever an image before this one left it. */
void rp2040_reset_core1(void);

#endif
