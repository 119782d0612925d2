/* From the vector table to main: memory, then clocks, then everything else. No interrupts are used. */
#include "cortex_m.h"
#include "nrf52840.h"
#include "registers.h"

int main(void);

_Static_assert(HIL_CLOCK_HZ == 64000000, "the CPU has this clock and no other (section 5.4)");

/* The CPU runs already, from an oscillator that is 1.5 % off or more: the crystal keeps time. */
static void start_clocks(void)
{
    *reg(CLOCK_HFCLKSTARTED) = 0;
    *reg(CLOCK_HFCLKSTART) = 1;
    while (*reg(CLOCK_HFCLKSTARTED) == 0u) {
    }
    *reg(NVMC_ICACHECNF) = NVMC_CACHE_ENABLE; /* or every fetch from flash waits */
}

__attribute__((noreturn)) static void hil_reset(void)
{
    enable_fpu();
    *reg(APPROTECT_DISABLE) = APPROTECT_OPEN;
    set_up_memory();
    start_clocks();
    nrf52840_start_clock_counters();
    nrf52840_start_console();
    main();
    for (;;) {
    }
}

/* ARMv7-M manual, B1.5.3; 48 interrupts. The configurable faults are left off, so that all of them arrive as hard faults;
 * CFSR, HFSR and BFAR say more to a debugger. */
__attribute__((section(".vectors"), used)) const struct {
    uint32_t *stack;
    handler exceptions[15];
    handler interrupts[48];
} __hil_vectors = {
    __hil_stack0_top,
    {hil_reset, [1 ... 14] = on_exception},
    {[0 ... 47] = on_exception},
};
