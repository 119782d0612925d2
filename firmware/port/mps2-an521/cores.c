/* Core 1, which the system control block holds; and how cores wait for each other: by the message handling unit's
 * interrupts. (WFE would do on silicon, but the emulator takes it for "not now", and the waiting core would run on.) */
#include "mps2_an521.h"
#include "port.h"
#include "registers.h"

void (*volatile mps2_an521_entry1)(void);

uint32_t hil_port_core(void)
{
    return *reg(CPU_ID);
}

void hil_port_start_core(uint32_t core, void (*entry)(void))
{
    (void)core; /* there is but one other */
    mps2_an521_entry1 = entry;
    __asm__ volatile("dsb" : : : "memory"); /* all that was set up is in memory before core 1 runs */
    *reg(INITSVTOR1) = (uint32_t)(uintptr_t)&__hil_vectors1;
    *reg(CPUWAIT) &= ~(uint32_t)CPUWAIT_CORE1;
}

void hil_port_wait(void)
{
    sleep_until(MHU_INTERRUPT);
    /* Taken back before the caller looks again: a signal that comes later ends the next wait. */
    *reg(hil_port_core() == 0u ? MHU_CORE0_CLEAR : MHU_CORE1_CLEAR) = 1;
    stop_pending(MHU_INTERRUPT);
    __asm__ volatile("dsb" : : : "memory");
}

void hil_port_signal(void)
{
    __asm__ volatile("dsb" : : : "memory"); /* what was stored is there when the other wakes */
    *reg(hil_port_core() == 0u ? MHU_CORE1_SET : MHU_CORE0_SET) = 1;
}
