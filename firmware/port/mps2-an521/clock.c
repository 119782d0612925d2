/* Everything is counted by one timer of 20 MHz. The emulator takes 1 ns for an instruction, so a tick is 50 of them. */
#include "port.h"
#include "mps2_an521.h"
#include "registers.h"

#define INSTRUCTIONS_PER_TICK 50u

static uint64_t ticks_so_far;
static uint32_t last;

static uint32_t ticks_now(void)
{
    return 0xffffffffu - *reg(TIMER_VALUE);
}

void mps2_an521_start_timer(void)
{
    *reg(APBNSPPCEXP2) = PPC_FPGAIO; /* the emulator's monitor reads another counter there, to check this one */
    *reg(TIMER_RELOAD) = 0xffffffffu;
    *reg(TIMER_VALUE) = 0xffffffffu;
    *reg(TIMER_CTRL) = TIMER_ENABLE;
    last = ticks_now();
}

/* Returns right behind the edge of a tick, to the instruction: so that what is counted from here does not depend on where
 * in a tick it began. One round is 51 instructions, a tick is 50: the round that sees two ticks is the one. */
static void align(void)
{
    uint32_t before = 0;
    uint32_t after = 0;
    uint32_t gone = 0;
    __asm__ volatile("ldr %0, [%3]\n"
                     "1: ldr %1, [%3]\n\t"
                     "subs %2, %0, %1\n\t"
                     "mov %0, %1\n\t"
                     ".rept 46\n\tnop\n\t.endr\n\t"
                     "cmp %2, #2\n\t"
                     "bne 1b"
                     : "=&l"(before), "=&l"(after), "=&l"(gone)
                     : "l"(TIMER_VALUE)
                     : "cc", "memory");
}

/* Called at both ends of every run, and by core 0 alone: far more often than the timer wraps (214 s). */
uint64_t hil_port_us(void)
{
    const uint32_t now = ticks_now();
    ticks_so_far += now - last;
    last = now;
    uint64_t us = ticks_so_far / TIMER_TICKS_PER_US;
    /* The division takes a time that depends on the number: it must not sink below the alignment. */
    __asm__ volatile("" : "+r"(us));
    align();
    return us;
}

uint32_t hil_port_ticks(void)
{
    return ticks_now() * INSTRUCTIONS_PER_TICK; /* wraps with 32 bits, as the timer does */
}

uint32_t hil_port_tick_mask(void)
{
    return 0xffffffffu;
}

uint32_t hil_port_ticks_per_us_q16(void)
{
    return (uint32_t)(((uint64_t)HIL_CLOCK_HZ << 16) / 1000000u);
}

uint32_t hil_port_clock_hz(void)
{
    return HIL_CLOCK_HZ;
}
