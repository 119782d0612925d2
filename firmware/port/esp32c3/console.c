/* UART0, polled. Its clock is the 40 MHz crystal, so that its rate does not depend on the core's. */
#include "esp32c3.h"
#include "port.h"
#include "registers.h"

void esp32c3_start_console(void)
{
    /* The boot ROM has said something at a rate of its own: it leaves whole. */
    while ((*reg(UART_STATUS) & UART_STATUS_TO_SEND) != 0u || (*reg(UART_FSM_STATUS) & UART_FSM_SENDS) != 0u) {
    }
    clear_bits(UART_ID, UART_ID_BY_HAND);
    *reg(UART_CLK_CONF) = UART_CLK_CONF_XTAL;
    /* Divider in 1/16, rounded; its fraction is in bits 20 to 23. */
    const uint32_t divider = (uint32_t)((UART_XTAL_HZ * 32ull / HIL_BAUD + 1u) / 2u);
    *reg(UART_CLKDIV) = divider >> 4 | (divider & 15u) << 20;
    *reg(UART_CONF0) = UART_CONF0_8N1 | UART_CONF0_MEMORY_CLOCK | UART_CONF0_EMPTY_RECEIVER;
    *reg(UART_CONF0) = UART_CONF0_8N1 | UART_CONF0_MEMORY_CLOCK;
    set_bits(UART_ID, UART_ID_UPDATE);
    while ((*reg(UART_ID) & UART_ID_UPDATE) != 0u) {
    }
}

int32_t hil_port_getc(void)
{
    if ((*reg(UART_STATUS) & UART_STATUS_RECEIVED) == 0u) {
        return -1;
    }
    return (int32_t)(*reg(UART_FIFO) & 0xffu);
}

void hil_port_putc(uint8_t byte)
{
    while ((*reg(UART_STATUS) & UART_STATUS_TO_SEND) >> UART_STATUS_TO_SEND_AT >= UART_FIFO_ROOM) {
    }
    *reg(UART_FIFO) = byte;
}
