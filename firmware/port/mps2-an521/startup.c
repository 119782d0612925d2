/* From the vector tables to main, and from an exception to a fault report. No interrupts are taken. */
#include <stdint.h>

#include "main.h"
#include "mps2_an521.h"
#include "registers.h"

int main(void);

extern uint32_t __hil_data_load[];
extern uint32_t __hil_data_start[];
extern uint32_t __hil_data_end[];
extern uint32_t __hil_bss_start[];
extern uint32_t __hil_bss_end[];
extern uint32_t __hil_stack0_top[];
extern uint32_t __hil_stack1_top[];

static void mask_interrupts(void)
{
    __asm__ volatile("cpsid i" : : : "memory");
}

__attribute__((noreturn)) static void hil_reset(void)
{
    mask_interrupts();
    const uint32_t *from = __hil_data_load;
    for (volatile uint32_t *to = __hil_data_start; to < __hil_data_end; to++) {
        *to = *from++;
    }
    for (volatile uint32_t *at = __hil_bss_start; at < __hil_bss_end; at++) {
        *at = 0;
    }
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

/* Called with the exception frame: r0-r3, r12, lr, pc, xpsr (ARMv8-M manual, B3.19). */
__attribute__((used, noreturn)) void mps2_an521_fault(const uint32_t *frame, uint32_t exc_return)
{
    uint32_t number = 0;
    __asm__ volatile("mrs %0, ipsr" : "=r"(number));
    const hil_fault fault = {
        .reason = number == 3u ? HIL_HARD_FAULT : number == 2u ? HIL_NMI : HIL_OTHER_EXCEPTION,
        .core = hil_port_core(),
        .sp = (uint32_t)(uintptr_t)(frame + 8),
        .r0 = frame[0],
        .r1 = frame[1],
        .r2 = frame[2],
        .r3 = frame[3],
        .r12 = frame[4],
        .lr = frame[5],
        .pc = frame[6],
        .xpsr = frame[7],
        .exc_return = exc_return,
    };
    hil_server_fault(&hil_the_server, &fault);
    for (;;) {
    }
}

/* Only the main stack is in use, so the frame is where it points. */
__attribute__((naked)) static void on_exception(void)
{
    __asm__ volatile("mrs r0, msp\n"
                     "mov r1, lr\n"
                     "ldr r2, =mps2_an521_fault\n"
                     "bx r2\n"
                     ".ltorg\n");
}

typedef void (*handler)(void);

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
