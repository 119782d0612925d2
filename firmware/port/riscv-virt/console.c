/* The 16550. It is polled, but hart 0 sleeps while nothing has arrived: then the machine's time stands still. */
#include <stdbool.h>

#include "port.h"
#include "registers.h"
#include "riscv_virt.h"

static bool was_received;

void riscv_virt_start_console(void)
{
    /* The machine's line has no rate. The divisor only says how soon a last byte is reported: as soon as it goes. */
    *reg8(UART_LCR) = UART_LCR_DIVISOR;
    *reg8(UART_DIVISOR_LOW) = 1;
    *reg8(UART_DIVISOR_HIGH) = 0;
    *reg8(UART_LCR) = UART_LCR_8N1;
    *reg8(UART_FCR) = UART_FCR_FIFO_14;
    *reg8(UART_IER) = UART_IER_RECEIVED;
    *reg(PLIC_PRIORITY + 4u * PLIC_UART) = 1;
    *reg(PLIC_ENABLE) = 1u << PLIC_UART;
}

int32_t hil_port_getc(void)
{
    if ((*reg8(UART_LSR) & UART_LSR_RECEIVED) == 0u) {
        sleep_until(MIE_EXTERNAL);
        const uint32_t claimed = *reg(PLIC_CLAIM);
        *reg(PLIC_CLAIM) = claimed; /* a byte that comes from here on makes it pending again */
        if ((*reg8(UART_LSR) & UART_LSR_RECEIVED) == 0u) {
            return -1;
        }
    }
    was_received = true;
    return *reg8(UART_DATA);
}

/* After the last byte the FIFO's time-out still runs, and machine time with it, for as long as four more bytes would
 * take. An answer follows a whole request: then nothing more is awaited, and time may stand still once it is sent. */
static void stop_time_out(void)
{
    if (was_received && (*reg8(UART_LSR) & UART_LSR_RECEIVED) == 0u) {
        was_received = false;
        *reg8(UART_FCR) = UART_FCR_FIFO_14 | UART_FCR_EMPTY_RECEIVER;
    }
}

void hil_port_putc(uint8_t byte)
{
    stop_time_out();
    while ((*reg8(UART_LSR) & UART_LSR_CAN_SEND) == 0u) {
    }
    *reg8(UART_DATA) = byte;
}
