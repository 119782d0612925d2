/* The registers of a Cortex-M4 that its ports use (ARMv7-M manual, chapters B3 and C1), and what they do with them. */
#ifndef HIL_CORTEX_M4_H
#define HIL_CORTEX_M4_H

#include <stdint.h>

static inline volatile uint32_t *reg(uint32_t address)
{
    return (volatile uint32_t *)(uintptr_t)address;
}

#define DWT_CTRL 0xe0001000u
#define DWT_CYCCNT 0xe0001004u
#define DWT_COUNT_CYCLES 1u
#define CPACR 0xe000ed88u
#define CPACR_FPU (15u << 20)
#define DEMCR 0xe000edfcu
#define DEMCR_TRACE (1u << 24)

/* Before the first instruction that needs it. */
static inline void enable_fpu(void)
{
    *reg(CPACR) |= CPACR_FPU;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
}

static inline void start_cycle_counter(void)
{
    *reg(DEMCR) |= DEMCR_TRACE;
    *reg(DWT_CYCCNT) = 0;
    *reg(DWT_CTRL) |= DWT_COUNT_CYCLES;
}

/* 64 bits of a counter of 32 that is `now`: it is looked at more often than it wraps (once in 71 minutes, of microseconds),
 * since no run takes that long; of a longer time that nobody asks for any, whole turns are lost. */
static inline uint64_t widened(uint32_t now)
{
    static uint32_t last;
    static uint32_t turns;
    if (now < last) {
        turns++;
    }
    last = now;
    return (uint64_t)turns << 32 | now;
}

#endif
