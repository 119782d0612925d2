/* UART0, polled (section 12.1). Its receive FIFO of 32 bytes is emptied by the main loop between requests. */
#include "port.h"
#include "registers.h"

/* 8N1, HIL_BAUD; clk_peri must run at HIL_CLOCK_HZ. */
void hil_port_start_console(void)
{
    clear_bits(RESETS_RESET, RESET_UART0);
    wait_bits(RESETS_DONE, RESET_UART0);
    /* Divider in 1/64, rounded: clk_peri / (16 * baud) (section 12.1.3.2.1). */
    const uint32_t divider = (uint32_t)(((uint64_t)HIL_CLOCK_HZ * 8u / HIL_BAUD + 1u) / 2u);
    *reg(UART0_IBRD) = divider >> 6;
    *reg(UART0_FBRD) = divider & 63u;
    *reg(UART0_LCR_H) = UART_8_BITS_FIFO;
    *reg(UART0_CR) = UART_ENABLE;
    *reg(GPIO0_CTRL) = GPIO_IS_UART;
    *reg(GPIO1_CTRL) = GPIO_IS_UART;
    /* An open receive line must read as idle, not as a break. */
    clear_bits(PADS_GPIO1, PAD_PULL_DOWN);
    set_bits(PADS_GPIO1, PAD_PULL_UP | PAD_INPUT_ENABLE);
    /* Pads are cut off from what drives them until they are set up (section 9.7). */
    clear_bits(PADS_GPIO0, PAD_ISOLATED);
    clear_bits(PADS_GPIO1, PAD_ISOLATED);
}

int32_t hil_port_getc(void)
{
    if ((*reg(UART0_FR) & UART_FR_RX_EMPTY) != 0u) {
        return -1;
    }
    /* Bits 8 to 11 say framing error or overrun: the frame's CRC finds those. */
    return (int32_t)(*reg(UART0_DR) & 0xffu);
}

void hil_port_putc(uint8_t byte)
{
    while ((*reg(UART0_FR) & UART_FR_TX_FULL) != 0u) {
    }
    *reg(UART0_DR) = byte;
}
