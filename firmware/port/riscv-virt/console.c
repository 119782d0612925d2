/* The 16550. It is polled, but hart 0 sleeps while nothing has arrived: then the machine's time stands still. */
#include "port.h"
#include "registers.h"
#include "riscv_virt.h"

void riscv_virt_start_console(void)
{
    *reg8(UART_LCR) = UART_LCR_8N1; /* the machine's line has no rate: HIL_BAUD is the host's idea */
    *reg8(UART_FCR) = UART_FCR_FIFO;
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
    return *reg8(UART_DATA);
}

void hil_port_putc(uint8_t byte)
{
    while ((*reg8(UART_LSR) & UART_LSR_CAN_SEND) == 0u) {
    }
    *reg8(UART_DATA) = byte;
}
