/* What the start-up of ports for Cortex-M has in common. For the startup.c of such a port alone. */
#ifndef HIL_CORTEX_M_H
#define HIL_CORTEX_M_H

#include <stdint.h>

#include "main.h"

extern uint32_t __hil_data_load[];
extern uint32_t __hil_data_start[];
extern uint32_t __hil_data_end[];
extern uint32_t __hil_bss_start[];
extern uint32_t __hil_bss_end[];
extern uint32_t __hil_stack0_top[];

typedef void (*handler)(void);

/* Initial values to .data, zeros to .bss: as loops, since nothing that compilers call may run before. */
static inline void set_up_memory(void)
{
    const uint32_t *from = __hil_data_load;
    for (volatile uint32_t *to = __hil_data_start; to < __hil_data_end; to++) {
        *to = *from++;
    }
    for (volatile uint32_t *at = __hil_bss_start; at < __hil_bss_end; at++) {
        *at = 0;
    }
}

/* Called with the exception frame, which a frame of an FPU's registers may follow: r0-r3, r12, lr, pc, xpsr (ARMv6-M manual,
 * B1.5.6; ARMv7-M manual, B1.5.6; ARMv8-M manual, B3.19). */
__attribute__((used, noreturn)) static void on_fault(const uint32_t *frame, uint32_t exc_return)
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
                     "ldr r2, =on_fault\n"
                     "bx r2\n"
                     ".ltorg\n");
}

#endif
