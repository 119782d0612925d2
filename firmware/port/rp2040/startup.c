/* From the vector table to main: memory, then clocks, then everything else. No interrupts are used. */
#include <stdint.h>

#include "main.h"
#include "registers.h"
#include "rp2040.h"

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

static void fill(uint32_t *from, const uint32_t *end, uint32_t value)
{
    for (volatile uint32_t *at = from; at < end; at++) {
        *at = value;
    }
}

__attribute__((noreturn)) static void hil_reset(void)
{
    rp2040_reset_core1(); /* before memory changes that it may still use */
    const uint32_t *from = __hil_data_load;
    for (volatile uint32_t *to = __hil_data_start; to < __hil_data_end; to++) {
        *to = *from++;
    }
    fill(__hil_bss_start, __hil_bss_end, 0);
    start_clocks();
    release(RESET_IO_BANK0 | RESET_PADS_BANK0);
    rp2040_start_clock_counters();
    hil_port_start_console();
    main();
    for (;;) {
    }
}

/* Called with the exception frame: r0-r3, r12, lr, pc, xpsr (ARMv6-M manual, B1.5.6). */
__attribute__((used, noreturn)) void rp2040_fault(const uint32_t *frame, uint32_t exc_return)
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
                     "ldr r2, =rp2040_fault\n"
                     "bx r2\n"
                     ".ltorg\n");
}

typedef void (*handler)(void);

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
