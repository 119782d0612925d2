/* Core 0 sends back every byte that core 1 has added one to; both poll: the UART, and a word in memory. */
#include "chip.h"

static uint32_t stack[64];

static void second(void)
{
    for (;;) {
        while (!RESULT[0]) { }
        RESULT[1] = RESULT[0] + 1;
        RESULT[0] = 0;
    }
}

static void launch(uint32_t word)
{
    SIO_FIFO_WR = word;
    __asm__ volatile("sev");
    while (!(SIO_FIFO_ST & 1)) { }
    (void)SIO_FIFO_RD;
}

void main(void)
{
    clocks();
    uart();
    RESULT[0] = RESULT[1] = 0;
    launch(0);
    launch(0);
    launch(1);
    launch(0x10000100u);
    launch((uint32_t)(stack + 64));
    launch((uint32_t)second | 1);
    for (;;) {
        RESULT[0] = get();
        while (!RESULT[1]) { }
        put(RESULT[1]);
        RESULT[1] = 0;
    }
}
