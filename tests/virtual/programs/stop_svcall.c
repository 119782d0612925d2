/* Exceptions: SVC, with a handler that returns by BX in odd rounds and by POP in even ones. */
#include "stop.h"

__attribute__((naked)) void svcall(void)
{
    __asm__ volatile("ldr r0, =0x20030000\n ldr r1, [r0]\n adds r1, #1\n str r1, [r0]\n lsrs r1, r1, #1\n bcs 1f\n"
                     " push {r4, lr}\n pop {r4, pc}\n 1: bx lr");
}

void main(void)
{
    ANSWER[0] = 0;
    for (uint32_t i = 0; i < 6; i++) __asm__ volatile("svc 0" : : : "r0", "r1", "r2", "r3", "cc", "memory");
    stop();
}
