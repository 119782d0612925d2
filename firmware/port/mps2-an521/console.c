/* UART 0. It is polled, but core 0 sleeps while nothing has arrived: then the machine's time stands still. */
#include <stdbool.h>

#include "mps2_an521.h"
#include "port.h"
#include "registers.h"

#define MAIN_CLOCK_HZ 20000000u

void mps2_an521_start_console(void)
{
    *reg(UART_BAUDDIV) = MAIN_CLOCK_HZ / HIL_BAUD;
    *reg(UART_CTRL) = UART_ENABLE;
}

static bool in_exception(void)
{
    uint32_t number = 0;
    __asm__ volatile("mrs %0, ipsr" : "=r"(number));
    return number != 0u;
}

int32_t hil_port_getc(void)
{
    if ((*reg(UART_STATE) & UART_RX_FULL) == 0u) {
        if (in_exception()) {
            return -1; /* a fault is being reported: no interrupt has the priority to end a sleep */
        }
        sleep_until(UART_INTERRUPT);
        *reg(UART_INTCLEAR) = UART_RX_INTERRUPT;
        stop_pending(UART_INTERRUPT);
        if ((*reg(UART_STATE) & UART_RX_FULL) == 0u) {
            return -1;
        }
    }
    return (int32_t)(*reg(UART_DATA) & 0xffu);
}

void hil_port_putc(uint8_t byte)
{
    while ((*reg(UART_STATE) & UART_TX_FULL) != 0u) {
    }
    *reg(UART_DATA) = byte;
}
