#ifndef HIL_RP2350_H
#define HIL_RP2350_H

/* Starts the microsecond timer and the cycle counter; clk_ref must be at 12 MHz. */
void rp2350_start_clock_counters(void);

/* Lets the core that runs this use its floating-point unit. */
void rp2350_enable_fpu(void);

/* Puts core 1 back into the boot ROM, where it waits to be started. */
void rp2350_reset_core1(void);

#endif
