/* From the vector table to main: memory, then clocks, then everything else. No interrupts are used. */
#include <stdint.h>

#include "main.h"
#include "registers.h"
#include "rp2350.h"

int main(void);

extern uint32_t __hil_data_load[];
extern uint32_t __hil_data_start[];
extern uint32_t __hil_data_end[];
extern uint32_t __hil_bss_start[];
extern uint32_t __hil_bss_end[];
extern uint32_t __hil_stack0_top[];

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

static void fill(uint32_t *from, const uint32_t *end, uint32_t value)
{
    for (volatile uint32_t *at = from; at < end; at++) {
        *at = value;
    }
}

__attribute__((noreturn)) static void hil_reset(void)
{
    rp2350_enable_fpu();
    rp2350_reset_core1(); /* before memory changes that it may still use */
    const uint32_t *from = __hil_data_load;
    for (volatile uint32_t *to = __hil_data_start; to < __hil_data_end; to++) {
        *to = *from++;
    }
    fill(__hil_bss_start, __hil_bss_end, 0);
    start_clocks();
    release(RESET_IO_BANK0 | RESET_PADS_BANK0);
    rp2350_start_clock_counters();
    hil_port_start_console();
    main();
    for (;;) {
    }
}

/* Called with the exception frame, which a frame of the FPU's registers may follow: r0-r3, r12, lr, pc, xpsr (ARMv8-M manual, B3.19). */
__attribute__((used, noreturn)) void rp2350_fault(const uint32_t *frame, uint32_t exc_return)
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
                     "ldr r2, =rp2350_fault\n"
                     "bx r2\n"
                     ".ltorg\n");
}

typedef void (*handler)(void);

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
