/* A PL011 UART as a network port: stuffed frames, 8N1, RTS/CTS flow control, FIFOs, polled. (Arm DDI 0183, and the data
 * sheets of the chips that have it; offsets are of its registers.) Inline, so that addresses are constants. */
#ifndef HIL_PL011_H
#define HIL_PL011_H

#include "registers.h"
#include "stream.h"

enum {
    PL011_DR = 0x00,
    PL011_FR = 0x18,
    PL011_IBRD = 0x24,
    PL011_FBRD = 0x28,
    PL011_LCR_H = 0x2c,
    PL011_CR = 0x30,
    PL011_IFLS = 0x34,
    PL011_RX_EMPTY = 1 << 4,
    PL011_TX_FULL = 1 << 5,
    PL011_8_BITS_FIFO = 3 << 5 | 1 << 4,
    PL011_ENABLE = 1 << 15 | 1 << 14 | 1 << 9 | 1 << 8 | 1 << 0, /* CTS, RTS, receive, transmit, UART */
    PL011_RTS_AT_3_QUARTERS = 3 << 3 /* adapters send a few bytes more after RTS: there is room for eight */
};

typedef struct {
    hil_stuffer out;
    hil_unstuffer in;
    bool open;
} pl011_port;

/* Out of reset, with its pins set up, clocked by `clock_hz`. */
static inline void pl011_open(pl011_port *port, uint32_t uart, uint32_t clock_hz, uint32_t baud)
{
    const pl011_port fresh = {.open = true};
    *port = fresh;
    /* Divider in 1/64, rounded: clock / (16 * baud). */
    const uint32_t divider = (uint32_t)(((uint64_t)clock_hz * 8u / baud + 1u) / 2u);
    *reg(uart + PL011_IBRD) = divider >> 6;
    *reg(uart + PL011_FBRD) = divider & 63u;
    *reg(uart + PL011_LCR_H) = PL011_8_BITS_FIFO;
    *reg(uart + PL011_IFLS) = PL011_RTS_AT_3_QUARTERS;
    *reg(uart + PL011_CR) = PL011_ENABLE;
}

static inline bool pl011_send(pl011_port *port, uint32_t uart, const uint8_t *frame, uint32_t bytes)
{
    hil_stuffer out = port->out;
    bool whole = false;
    while (!whole && (*reg(uart + PL011_FR) & PL011_TX_FULL) == 0u) {
        *reg(uart + PL011_DR) = hil_stuff(&out, frame, bytes);
        whole = out.part == HIL_STREAM_IDLE;
    }
    port->out = out;
    return whole;
}

static inline uint32_t pl011_receive(pl011_port *port, uint32_t uart, uint8_t *frame, uint32_t room)
{
    hil_unstuffer in = port->in;
    uint32_t bytes = 0;
    while (bytes == 0u && (*reg(uart + PL011_FR) & PL011_RX_EMPTY) == 0u) {
        /* Bits 8 to 11 say framing error or overrun: the frame's CRC finds those. */
        bytes = hil_unstuff(&in, (uint8_t)*reg(uart + PL011_DR), frame, room);
    }
    port->in = in;
    return bytes;
}

static inline bool pl011_poll(const pl011_port *port, uint32_t uart)
{
    return port->open && (port->out.part != HIL_STREAM_IDLE || (*reg(uart + PL011_FR) & PL011_RX_EMPTY) == 0u);
}

#endif
