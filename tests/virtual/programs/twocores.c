/* Launches core 1 through the boot ROM, and has both cores count together: mailbox, spinlock, WFE and SEV. */
#include "chip.h"

#define LOCK REG(0xd0000100u)

static uint32_t stack[64];

static void send(uint32_t word)
{
    while (!(SIO_FIFO_ST & 2)) { }
    SIO_FIFO_WR = word;
    __asm__ volatile("sev");
}

static uint32_t receive(void)
{
    while (!(SIO_FIFO_ST & 1)) __asm__ volatile("wfe");
    return SIO_FIFO_RD;
}

static void add(volatile uint32_t *to, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        while (!LOCK) { }
        *to += 1;
        LOCK = 1;
    }
}

static void second(void)
{
    RESULT[8] = REG(0xd0000000u);
    send(receive() * 3);
    add(RESULT + 1, 5000);
    send(0xc0de);
    while (RESULT[3] != 7) { } /* a flag in memory, polled without a store */
    RESULT[4] = 8;
    for (;;) __asm__ volatile("wfe");
}

void main(void)
{
    clocks();
    uint32_t launch[6] = {0, 0, 1, 0x10000100u, (uint32_t)(stack + 64), (uint32_t)second | 1};
    RESULT[1] = RESULT[3] = RESULT[4] = 0;
    for (uint32_t step = 0; step < 6;) {
        while (SIO_FIFO_ST & 1) (void)SIO_FIFO_RD;
        __asm__ volatile("sev");
        send(launch[step]);
        step = receive() == launch[step] ? step + 1 : 0;
    }
    send(14);
    RESULT[0] = receive();
    add(RESULT + 1, 5000);
    RESULT[2] = receive();
    uint32_t start = TIMER_RAW_LOW;
    while (TIMER_RAW_LOW - start < 500) { }
    RESULT[3] = 7;
    while (RESULT[4] != 8) { }
    RESULT[5] = 0xd03e;
}
