#ifndef HIL_ESP32C3_H
#define HIL_ESP32C3_H

#include <stdint.h>

/* The system timer, and the core's event counter (CSRs of chapter "ESP-RISC-V CPU"). */
void esp32c3_start_counters(void);
/* UART0 on GPIO 20 (RX) and 21 (TX), which the boot ROM has connected. */
void esp32c3_start_console(void);

/* Where start.S goes. */
void hil_reset(void) __attribute__((noreturn));
void esp32c3_fault(const uint32_t *frame) __attribute__((noreturn));

#endif
