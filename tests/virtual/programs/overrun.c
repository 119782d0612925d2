/* Reads one byte, looks away for 60 character times, and then reads what the FIFO still has. */
#include "chip.h"

void main(void)
{
    clocks();
    uart();
    RESULT[0] = get();
    uint32_t start = TIMER_RAW_LOW;
    while (TIMER_RAW_LOW - start < 60 * 87) { }
    RESULT[1] = UART_RIS;
    RESULT[2] = UART_FR;
    uint32_t count = 0;
    while (!(UART_FR & 0x10)) RESULT[8 + count++] = UART_DR;
    RESULT[3] = count;
    RESULT[4] = get();
    RESULT[5] = 0xd03e;
}
