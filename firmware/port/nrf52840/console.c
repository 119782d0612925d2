/* UART0 without DMA, polled (section 6.33). Six bytes wait in it; while the CPU does something else, RTS stops the host. */
#include <stdbool.h>

#include "nrf52840.h"
#include "port.h"
#include "registers.h"

enum { PIN_RTS = 5, PIN_TXD = 6, PIN_CTS = 7, PIN_RXD = 8 };

_Static_assert(HIL_BAUD == 1000000u || HIL_BAUD == 115200u, "rates that the kit's USB port has too");

/* Between putting a byte into TXD and the event that says it has left, no other may be put there. */
static bool sending;

void nrf52840_start_console(void)
{
    /* Outputs rest high, as an idle line is. An open receive line must read as idle; an open CTS lets bytes go. */
    *reg(P0_OUTSET) = 1u << PIN_TXD | 1u << PIN_RTS;
    *reg(P0_DIRSET) = 1u << PIN_TXD | 1u << PIN_RTS;
    *reg(P0_PIN_CNF + 4u * PIN_RXD) = PIN_CNF_INPUT_PULL_UP;
    *reg(P0_PIN_CNF + 4u * PIN_CTS) = PIN_CNF_INPUT_PULL_DOWN;
    *reg(UART0_PSEL_RTS) = PIN_RTS;
    *reg(UART0_PSEL_TXD) = PIN_TXD;
    *reg(UART0_PSEL_CTS) = PIN_CTS;
    *reg(UART0_PSEL_RXD) = PIN_RXD;
    *reg(UART0_BAUDRATE) = HIL_BAUD == 1000000u ? UART_1_MBAUD : UART_115200;
    *reg(UART0_CONFIG) = UART_FLOW_CONTROL;
    *reg(UART0_ENABLE) = UART_ENABLE;
    *reg(UART0_STARTRX) = 1;
    *reg(UART0_STARTTX) = 1;
}

/* Apart, so that a round of waiting has no store in it, not even a conditional one: virtual boards skip such rounds. */
__attribute__((noinline)) static int32_t take(void)
{
    *reg(UART0_RXDRDY) = 0; /* before RXD is read: the next byte's event may come with that */
    return (int32_t)(*reg(UART0_RXD) & 0xffu);
}

int32_t hil_port_getc(void)
{
    return *reg(UART0_RXDRDY) == 0u ? -1 : take();
}

void hil_port_putc(uint8_t byte)
{
    while (sending && *reg(UART0_TXDRDY) == 0u) {
    }
    *reg(UART0_TXDRDY) = 0;
    *reg(UART0_TXD) = byte;
    sending = true;
}
