/* Is reset by the watchdog's trigger, by its end, and by SYSRESETREQ, and keeps count in scratch and in RAM. */
#include "chip.h"

void main(void)
{
    uint32_t round = WATCHDOG_SCRATCH0;
    RESULT[round] = WATCHDOG_REASON;
    WATCHDOG_SCRATCH0 = round + 1;
    clocks();
    if (round == 0) WATCHDOG_CTRL = 0x80000000u;
    if (round == 1) {
        WATCHDOG_LOAD = 2 * 1000; /* falls by two a microsecond */
        WATCHDOG_CTRL = 0x40000000u;
    }
    if (round == 2) AIRCR = 0x05fa0004u;
    if (round == 3) RESULT[4] = 0xd03e;
}
