/* How a program whose cycles are counted ends, and where it leaves its answer. */
#ifndef STOP_H
#define STOP_H

#include <stdint.h>

#define ANSWER ((volatile uint32_t *)0x20030000u)

/* Sleeps for ever: counting ends at its first instruction. */
__attribute__((naked, noinline, noreturn, used)) static void stop(void)
{
    __asm__ volatile("1: wfi\n b 1b");
}

#endif
