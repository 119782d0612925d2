/* UART1 as a network port, and frames on it: stuffed between zeros. */
#ifndef NET_H
#define NET_H

#include "chip.h"

#ifdef RP2350
#define UART1 0x40078000u
#define PINS 0x40028000u
#else
#define UART1 0x40038000u
#define PINS 0x40014000u
#endif
#define PIN_FUNCTION(pin) REG(PINS + 4u + 8u * (pin))
#define UART1_DR REG(UART1)
#define UART1_FR REG(UART1 + 0x18u)
#define UART1_IBRD REG(UART1 + 0x24u)
#define UART1_FBRD REG(UART1 + 0x28u)
#define UART1_LCR REG(UART1 + 0x2cu)
#define UART1_CR REG(UART1 + 0x30u)
#define UART1_RIS REG(UART1 + 0x3cu)

enum { HEADER = 32, FLOW = 0xc301, NO_FLOW = 0x0301, ALL_PINS = 0xf0, DATA_PINS = 0x30 };

static inline void network(uint32_t whole, uint32_t sixty_fourths, uint32_t control, uint32_t pins)
{
    for (uint32_t pin = 4; pin < 8; pin++)
        if (pins >> pin & 1u) PIN_FUNCTION(pin) = 2;
    UART1_IBRD = whole;
    UART1_FBRD = sixty_fourths;
    UART1_LCR = 0x70;
    UART1_CR = control;
}

/* 3 Mbaud: 125 MHz / 16 / (2 + 39 / 64) = 2.994 Mbaud, 417.5 cycles a character. On an RP2350, which runs on its ring
 * oscillator here, 115200: 11 MHz / 16 / (5 + 62 / 64) = 115183 baud. */
static inline void network_up(uint32_t control, uint32_t pins)
{
#ifdef RP2350
    REG(0x40023000u) = 0x1fffffffu;
    while ((REG(0x40020008u) & 0x08000040u) != 0x08000040u) { }
    REG(0x40010048u) = 0x800;
    network(5, 62, control, pins);
#else
    clocks();
#ifdef SLOW_LINE
    network(67, 52, control, pins);
#else
    network(2, 39, control, pins);
#endif
#endif
}

static inline void count_cycles(void)
{
    SYST_RVR = 0xffffff;
    SYST_CVR = 0;
    SYST_CSR = 5;
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
