/* UART1 as a network port, 3 Mbaud with flow control, and frames on it: stuffed between zeros. */
#ifndef NET_H
#define NET_H

#include "chip.h"

#define PIN_FUNCTION(pin) REG(0x40014004u + 8u * (pin))
#define UART1_DR REG(0x40038000u)
#define UART1_FR REG(0x40038018u)
#define UART1_IBRD REG(0x40038024u)
#define UART1_FBRD REG(0x40038028u)
#define UART1_LCR REG(0x4003802cu)
#define UART1_CR REG(0x40038030u)
#define UART1_IFLS REG(0x40038034u)
#define UART1_RIS REG(0x4003803cu)

enum { HEADER = 32, FLOW = 0xc301, NO_FLOW = 0x0301 };

/* 125 MHz / 16 / (2 + 39 / 64) = 2.994 Mbaud: 417.5 cycles a character. */
static inline void network(uint32_t control, uint32_t pins)
{
    for (uint32_t pin = 4; pin < 8; pin++)
        if (pins >> pin & 1u) PIN_FUNCTION(pin) = 2;
    UART1_IBRD = 2;
    UART1_FBRD = 39;
    UART1_LCR = 0x70;
    UART1_CR = control;
}

static inline void net_put(uint32_t byte)
{
    while (UART1_FR & 0x20) { }
    UART1_DR = byte;
}

static inline uint32_t net_get(void)
{
    while (UART1_FR & 0x10) { }
    return UART1_DR & 0xff;
}

/* A DATA frame, transfer `number`, from `source` to the nodes `peers`, `bytes` (< 200) of payload that count upwards. */
static inline void net_send(uint32_t source, uint32_t peers, uint32_t number, uint32_t bytes)
{
    uint8_t frame[HEADER + 204] = {1, 3, (uint8_t)source, 0, (uint8_t)peers, (uint8_t)(peers >> 8), (uint8_t)bytes};
    uint32_t end = HEADER + bytes + 4, at = 0;
    frame[12] = (uint8_t)number;
    for (uint32_t i = HEADER; i < end; i++) frame[i] = (uint8_t)(i - HEADER + number);
    net_put(0);
    while (at < end) {
        uint32_t run = 0;
        while (at + run < end && frame[at + run]) run++;
        net_put(run + 1);
        for (uint32_t i = 0; i < run; i++) net_put(frame[at + i]);
        at += run + 1;
    }
    if (!frame[end - 1]) net_put(1);
    net_put(0);
}

/* The bytes of the next frame, unstuffed, into `frame`; at least those of a header are expected. */
static inline uint32_t net_receive(uint8_t *frame, uint32_t room)
{
    uint32_t code = 0, used = 0, group = 0, byte = net_get();
    while (!byte) byte = net_get();
    for (; byte; byte = net_get()) {
        if (group) {
            group--;
            if (used < room) frame[used++] = (uint8_t)byte;
            continue;
        }
        if (code && code < 255 && used < room) frame[used++] = 0;
        code = byte;
        group = code - 1;
    }
    return used;
}

#endif
