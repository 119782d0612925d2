#ifndef HIL_NRF52840_H
#define HIL_NRF52840_H

/* Starts the microsecond timer and the cycle counter; the crystal must run. */
void nrf52840_start_clock_counters(void);

/* UART0 on the development kit's pins to its USB port: P0.06 TXD, P0.08 RXD, P0.05 RTS, P0.07 CTS; 8N1, HIL_BAUD. */
void nrf52840_start_console(void);

#endif
