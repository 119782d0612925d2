/* Reads the microsecond timer without end: nothing here can be skipped, every turn goes to a device. */
#include "chip.h"

void main(void)
{
    clocks();
    for (;;) RESULT[0] = TIMER_RAW_LOW;
}
