/* Counts the bytes that come from the network and keeps them; looks away for PAUSE microseconds behind the first. */
#include "net.h"

#ifndef CONTROL
#define CONTROL FLOW
#endif
#ifndef CONNECTED
#define CONNECTED ALL_PINS
#endif
#ifndef PAUSE
#define PAUSE 0
#endif

void main(void)
{
    network_up(CONTROL, CONNECTED);
    RESULT[0] = 0;
    RESULT[1] = 0;
    for (uint32_t count = 0;;) {
        RESULT[8 + count] = net_get();
        RESULT[0] = ++count;
        if (PAUSE > 0 && count == 1) {
            uint32_t start = TIMER_RAW_LOW;
            while (TIMER_RAW_LOW - start < PAUSE) { }
            RESULT[1] = UART1_RIS;
        }
    }
}
