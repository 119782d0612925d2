/* A conditional branch to the instruction right behind it, taken 7 times and not taken 4 times. */
#include "stop.h"

void main(void)
{
    __asm__ volatile("movs r0, #11\n 1: cmp r0, #4\n bhi 2f\n 2: subs r0, #1\n bne 1b" : : : "r0", "cc");
    stop();
}
