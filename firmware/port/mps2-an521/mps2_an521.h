#ifndef HIL_MPS2_AN521_H
#define HIL_MPS2_AN521_H

#include <stdint.h>

/* Starts the timer that everything is counted with. */
void mps2_an521_start_timer(void);

/* UART 0, 8N1, HIL_BAUD, and its interrupt as something to wait for. */
void mps2_an521_start_console(void);

/* What core 1 runs. */
extern void (*volatile mps2_an521_entry1)(void);

/* Where core 1 begins. */
struct mps2_an521_vectors;
extern const struct mps2_an521_vectors __hil_vectors1;

#endif
