/* From the vector tables to main, and from an exception to a fault report. No interrupts are taken. */
#include <stdint.h>

#include "cortex_m.h"
#include "mps2_an521.h"
#include "registers.h"

int main(void);

extern uint32_t __hil_stack1_top[];

static void mask_interrupts(void)
{
    __asm__ volatile("cpsid i" : : : "memory");
}

__attribute__((noreturn)) static void hil_reset(void)
{
    mask_interrupts();
    set_up_memory();
    mps2_an521_start_timer();
    mps2_an521_start_console();
    main();
    for (;;) {
    }
}

/* Core 1: to what core 0 left for it, on an empty stack. */
__attribute__((naked)) static void reset1(void)
{
    __asm__ volatile("cpsid i\n"
                     "ldr r0, =mps2_an521_entry1\n"
                     "ldr r0, [r0]\n"
                     "bx r0\n"
                     ".ltorg\n");
}

/* ARMv8-M manual, B3.30. Interrupts have no entry, since none is taken. */
struct mps2_an521_vectors {
    uint32_t *stack;
    handler exceptions[15];
};

__attribute__((section(".vectors"), used)) const struct mps2_an521_vectors __hil_vectors = {
    __hil_stack0_top,
    {hil_reset, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception,
     on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception},
};

/* The vector table offset register has its lowest seven bits zero. */
__attribute__((section(".vectors1"), used, aligned(128))) const struct mps2_an521_vectors __hil_vectors1 = {
    __hil_stack1_top,
    {reset1, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception,
     on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception},
};
