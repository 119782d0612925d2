/* From the vector table to main: memory, then clocks, then everything else. No interrupts are used. */
#include <stdint.h>

#include "cortex_m.h"
#include "registers.h"
#include "rp2350.h"

int main(void);

/* Leaves reset those blocks that a program needs, and waits for them. */
static void release(uint32_t blocks)
{
    clear_bits(RESETS_RESET, blocks);
    wait_bits(RESETS_DONE, blocks);
}

/* 12 MHz crystal, times 125, divided by 5 and 2: 150 MHz (sections 8.2, 8.6, 8.1). */
/* The second divider, twice as large for half the clock. */
#define SECOND_DIVIDER (300000000u / HIL_CLOCK_HZ)
_Static_assert(HIL_CLOCK_HZ == 150000000 || HIL_CLOCK_HZ == 75000000, "these dividers make 150 MHz or half of it");

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
    *reg(CLK_REF_DIV) = CLK_DIV_1;

    set_bits(RESETS_RESET, RESET_PLL_SYS);
    release(RESET_PLL_SYS);
    *reg(PLL_SYS_CS) = 1;
    *reg(PLL_SYS_FBDIV) = 125;
    clear_bits(PLL_SYS_PWR, PLL_PD | PLL_VCO_PD);
    wait_bits(PLL_SYS_CS, 1u << 31);
    *reg(PLL_SYS_PRIM) = 5u << 16 | SECOND_DIVIDER << 12;
    clear_bits(PLL_SYS_PWR, PLL_POSTDIV_PD);

    *reg(CLK_SYS_DIV) = CLK_DIV_1;
    *reg(CLK_SYS_CTRL) = 0;
    *reg(CLK_SYS_CTRL) = CLK_SYS_FROM_AUX;
    wait_bits(CLK_SYS_SELECTED, 1u << CLK_SYS_FROM_AUX);
    *reg(CLK_PERI_DIV) = CLK_DIV_1;
    *reg(CLK_PERI_CTRL) = CLK_PERI_ENABLE;
}

__attribute__((noreturn)) static void hil_reset(void)
{
    rp2350_enable_fpu();
    rp2350_reset_core1(); /* before memory changes that it may still use */
    set_up_memory();
    start_clocks();
    release(RESET_IO_BANK0 | RESET_PADS_BANK0);
    rp2350_start_clock_counters();
    hil_port_start_console();
    main();
    for (;;) {
    }
}

/* Section 3.2: stack, reset, NMI, the faults, SVC, PendSV, SysTick; 52 interrupts. The configurable faults are left off, so
 * that all of them arrive as hard faults; CFSR, HFSR and BFAR say more to a debugger. */
__attribute__((section(".vectors"), used)) const struct {
    uint32_t *stack;
    handler exceptions[15];
    handler interrupts[52];
} __hil_vectors = {
    __hil_stack0_top,
    {hil_reset, [1 ... 14] = on_exception},
    {[0 ... 51] = on_exception},
};

/* Section 5.9.5: what the boot ROM looks for in the first 4 KiB of flash. A block with one item, IMAGE_TYPE: executable,
 * Secure, Arm, RP2350. Without an item that says otherwise, the vector table is at the start of flash. */
__attribute__((section(".image_def"), used)) const uint32_t __hil_image_def[] = {
    0xffffded3u, /* a block starts */
    0x10210142u, /* IMAGE_TYPE, one word */
    0x000001ffu, /* the last item: there was one word of items */
    0x00000000u, /* the next block is this one */
    0xab123579u, /* the block ends */
};
