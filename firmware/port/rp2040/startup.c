/* From the vector table to main: memory, then clocks, then everything else. No interrupts are used. */
#include <stdint.h>

#include "cortex_m.h"
#include "registers.h"
#include "rp2040.h"

int main(void);

/* Leaves reset those blocks that a program needs, and waits for them. */
static void release(uint32_t blocks)
{
    clear_bits(RESETS_RESET, blocks);
    wait_bits(RESETS_DONE, blocks);
}

/* 12 MHz crystal, times 125, divided by 6 and 2: 125 MHz (sections 2.16, 2.18, 2.15). */
/* The second divider, twice as large for half the clock. */
#define SECOND_DIVIDER (250000000u / HIL_CLOCK_HZ)
_Static_assert(HIL_CLOCK_HZ == 125000000 || HIL_CLOCK_HZ == 62500000, "these dividers make 125 MHz or half of it");

static void start_clocks(void)
{
    *reg(XOSC_CTRL) = XOSC_1_TO_15_MHZ;
    *reg(XOSC_STARTUP) = 47; /* 1 ms in units of 256 periods */
    set_bits(XOSC_CTRL, XOSC_ENABLE);
    wait_bits(XOSC_STATUS, 1u << 31);

    /* Off the PLL first: a debugger may have started this image while it ran. */
    clear_bits(CLK_SYS_CTRL, CLK_SYS_FROM_AUX);
    wait_bits(CLK_SYS_SELECTED, 1u << 0);
    *reg(CLK_REF_CTRL) = CLK_REF_FROM_XOSC;
    wait_bits(CLK_REF_SELECTED, 1u << CLK_REF_FROM_XOSC);
    *reg(CLK_REF_DIV) = 1u << 8;

    set_bits(RESETS_RESET, RESET_PLL_SYS);
    release(RESET_PLL_SYS);
    *reg(PLL_SYS_CS) = 1;
    *reg(PLL_SYS_FBDIV) = 125;
    clear_bits(PLL_SYS_PWR, PLL_PD | PLL_VCO_PD);
    wait_bits(PLL_SYS_CS, 1u << 31);
    *reg(PLL_SYS_PRIM) = 6u << 16 | SECOND_DIVIDER << 12;
    clear_bits(PLL_SYS_PWR, PLL_POSTDIV_PD);

    *reg(CLK_SYS_DIV) = 1u << 8;
    *reg(CLK_SYS_CTRL) = 0;
    *reg(CLK_SYS_CTRL) = CLK_SYS_FROM_AUX;
    wait_bits(CLK_SYS_SELECTED, 1u << CLK_SYS_FROM_AUX);
    *reg(CLK_PERI_CTRL) = CLK_PERI_ENABLE;
}

__attribute__((noreturn)) static void hil_reset(void)
{
    rp2040_reset_core1(); /* before memory changes that it may still use */
    set_up_memory();
    start_clocks();
    release(RESET_IO_BANK0 | RESET_PADS_BANK0);
    rp2040_start_clock_counters();
    hil_port_start_console();
    main();
    for (;;) {
    }
}

/* Section 2.4.5: stack, reset, NMI, hard fault, reserved, SVC, PendSV, SysTick, 26 interrupts. */
__attribute__((section(".vectors"), used)) const struct {
    uint32_t *stack;
    handler exceptions[15];
    handler interrupts[32];
} __hil_vectors = {
    __hil_stack0_top,
    {hil_reset, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception,
     on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception},
    {on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception,
     on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception,
     on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception,
     on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception, on_exception},
};
