/* Never idle: sends a byte every 10 ms by the timer, and sends back what it has received meanwhile. */
#include "chip.h"

void main(void)
{
    clocks();
    uart();
    for (uint32_t next = TIMER_RAW_LOW; ; next += 10000) {
        while ((int32_t)(TIMER_RAW_LOW - next) < 0) {
            if (!(UART_FR & 0x10)) put(UART_DR);
        }
        put('.');
    }
}
