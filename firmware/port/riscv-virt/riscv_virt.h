#ifndef HIL_RISCV_VIRT_H
#define HIL_RISCV_VIRT_H

#include <stdint.h>


/* The 16550 with its FIFO, and its interrupt as something to wait for. */
void riscv_virt_start_console(void);

/* Where start.S goes. */
void hil_reset(void) __attribute__((noreturn));
/* Where start.S sends each hart that is woken. */
extern void (*volatile riscv_virt_entries[HIL_CORES])(void);
void riscv_virt_fault(const uint32_t *frame) __attribute__((noreturn));

#endif
