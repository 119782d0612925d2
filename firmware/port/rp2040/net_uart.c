/* The network on UART1: GPIO 4 TX, 5 RX, 6 CTS, 7 RTS (section 1.4.3). */
#include "network.h"
#include "pl011.h"
#include "registers.h"

static pl011_port port;

bool hil_network_open(uint32_t node, uint32_t nodes)
{
    (void)node;
    (void)nodes;
    clear_bits(RESETS_RESET, RESET_UART1);
    wait_bits(RESETS_DONE, RESET_UART1);
    pl011_open(&port, UART1, HIL_CLOCK_HZ, HIL_NET_BAUD);
    /* An open receive line must read as idle, not as a break. An open CTS is pulled down: it lets bytes go. */
    clear_bits(PADS_GPIO0 + 4u * 5u, PAD_PULL_DOWN);
    set_bits(PADS_GPIO0 + 4u * 5u, PAD_PULL_UP);
    for (uint32_t pin = 4; pin < 8u; pin++) {
        *reg(GPIO0_CTRL + 8u * pin) = GPIO_IS_UART;
    }
    return true;
}

bool hil_network_send(uint32_t peers, const uint8_t *frame, uint32_t bytes)
{
    (void)peers; /* the switch reads the frame's own mask */
    return pl011_send(&port, UART1, frame, bytes);
}

uint32_t hil_network_receive(uint8_t *frame, uint32_t room)
{
    return pl011_receive(&port, UART1, frame, room);
}

bool hil_network_poll(void)
{
    return pl011_poll(&port, UART1);
}

void hil_network_close(void)
{
    port.open = false;
    *reg(UART1 + PL011_CR) = 0;
}
