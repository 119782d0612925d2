/* Harts: started, woken and put to sleep by software interrupts of the core-local interruptor. */
#include <stdbool.h>

#include "port.h"
#include "registers.h"
#include "riscv_virt.h"

void (*volatile riscv_virt_entries[HIL_CORES])(void);

uint32_t hil_port_core(void)
{
    uint32_t hart = 0;
    __asm__("csrr %0, mhartid" : "=r"(hart));
    return hart;
}

void hil_port_start_core(uint32_t core, void (*entry)(void))
{
    riscv_virt_entries[core] = entry;
    /* The entry, and all memory that was set up, before the interrupt: a device write is ordered by "o". */
    __asm__ volatile("fence rw, o" : : : "memory");
    *reg(CLINT_MSIP + 4u * core) = 1;
}

void hil_port_wait(void)
{
    sleep_until(MIE_SOFTWARE);
    /* Taken back before the caller looks again: a signal that comes later is seen by the next wait. */
    *reg(CLINT_MSIP + 4u * hil_port_core()) = 0;
    __asm__ volatile("fence o, r" : : : "memory");
}

void hil_port_signal(void)
{
    const uint32_t self = hil_port_core();
    /* What the caller wrote is seen by a hart that this wakes. */
    __asm__ volatile("fence rw, o" : : : "memory");
    for (uint32_t core = 0; core < HIL_CORES; core++) {
        const bool runs = core == 0u || riscv_virt_entries[core] != 0;
        if (core != self && runs) {
            *reg(CLINT_MSIP + 4u * core) = 1;
        }
    }
}
