/* From the reset vector to main, and from a trap to a fault report. No interrupts are taken. */
#include <stdint.h>

#include "main.h"
#include "registers.h"
#include "riscv_virt.h"

int main(void);

extern uint32_t __hil_data_load[];
extern uint32_t __hil_data_start[];
extern uint32_t __hil_data_end[];
extern uint32_t __hil_bss_start[];
extern uint32_t __hil_bss_end[];

__attribute__((noreturn)) void hil_reset(void)
{
    const uint32_t *from = __hil_data_load;
    for (volatile uint32_t *to = __hil_data_start; to < __hil_data_end; to++) {
        *to = *from++;
    }
    for (volatile uint32_t *at = __hil_bss_start; at < __hil_bss_end; at++) {
        *at = 0;
    }
    riscv_virt_start_console();
    main();
    for (;;) {
    }
}

/* `frame`: ra, a0, a1, a2, a3, with the stack pointer as it was 32 bytes above. */
__attribute__((noreturn)) void riscv_virt_fault(const uint32_t *frame)
{
    uint32_t pc = 0;
    uint32_t status = 0;
    uint32_t cause = 0;
    uint32_t value = 0;
    __asm__ volatile("csrr %0, mepc" : "=r"(pc));
    __asm__ volatile("csrr %0, mstatus" : "=r"(status));
    __asm__ volatile("csrr %0, mcause" : "=r"(cause));
    __asm__ volatile("csrr %0, mtval" : "=r"(value));
    const hil_fault fault = {
        .reason = cause >> 31 == 0u ? HIL_HARD_FAULT : HIL_OTHER_EXCEPTION,
        .core = hil_port_core(),
        .sp = (uint32_t)(uintptr_t)frame + 32u,
        .r0 = frame[1],
        .r1 = frame[2],
        .r2 = frame[3],
        .r3 = frame[4],
        .r12 = value,
        .lr = frame[0],
        .pc = pc,
        .xpsr = status,
        .exc_return = cause,
    };
    hil_server_fault(&hil_the_server, &fault);
    for (;;) {
    }
}
