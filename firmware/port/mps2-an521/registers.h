/* The registers of the MPS2 board with the AN521 image that this port uses, at their secure addresses.
 * Sources: Arm Application Note AN521 (memory map, interrupts); SSE-200 Technical Reference Manual (system control,
 * message handling units, CPU identity); Cortex-M System Design Kit Technical Reference Manual (UART, timer). */
#ifndef HIL_MPS2_AN521_REGISTERS_H
#define HIL_MPS2_AN521_REGISTERS_H

#include <stdint.h>

static inline volatile uint32_t *reg(uint32_t address)
{
    return (volatile uint32_t *)(uintptr_t)address;
}

enum {
    /* CMSDK timer 0 counts the 20 MHz main clock down. */
    TIMER_CTRL = 0x50000000,
    TIMER_VALUE = 0x50000004,
    TIMER_RELOAD = 0x50000008,
    TIMER_ENABLE = 1 << 0,
    TIMER_TICKS_PER_US = 20,

    /* SSE-200: which core this is; and message handling unit 0, by which cores interrupt each other. */
    CPU_ID = 0x5001f000,
    MHU_CORE0_SET = 0x50003004,
    MHU_CORE0_CLEAR = 0x50003008,
    MHU_CORE1_SET = 0x50003014,
    MHU_CORE1_CLEAR = 0x50003018,
    MHU_INTERRUPT = 6,

    /* SSE-200 system control: where core 1 begins, and what holds it. */
    INITSVTOR1 = 0x50021114,
    CPUWAIT = 0x50021118,
    CPUWAIT_CORE1 = 1 << 1,

    /* SSE-200 secure privilege control: devices of APB expansion 2 that debuggers may read; 2 is FPGAIO. */
    APBNSPPCEXP2 = 0x50080088,
    PPC_FPGAIO = 1 << 2,

    /* CMSDK UART 0. Its receive interrupt is expansion interrupt 0. */
    UART_DATA = 0x50200000,
    UART_STATE = 0x50200004,
    UART_CTRL = 0x50200008,
    UART_INTCLEAR = 0x5020000c,
    UART_BAUDDIV = 0x50200010,
    UART_TX_FULL = 1 << 0,
    UART_RX_FULL = 1 << 1,
    UART_ENABLE = 1 << 3 | 1 << 1 | 1 << 0, /* receive interrupt, receive, transmit */
    UART_RX_INTERRUPT = 1 << 1,
    UART_INTERRUPT = 32
};

/* The processor's own (ARMv8-M Architecture Reference Manual, B11, NVIC): enable, disable, stop pending. */
#define NVIC_ISER 0xe000e100u
#define NVIC_ICER 0xe000e180u
#define NVIC_ICPR 0xe000e280u

/* Waits until `interrupt` is pending. None is ever taken, since PRIMASK is set; WFI resumes all the same (ARMv8-M
 * manual, B8). One that is pending already makes it return at once. Only the one that is awaited is enabled. */
static inline void sleep_until(uint32_t interrupt)
{
    const uint32_t word = interrupt / 32u * 4u;
    const uint32_t bit = 1u << (interrupt % 32u);
    *reg(NVIC_ISER + word) = bit;
    __asm__ volatile("dsb\n\twfi" : : : "memory");
    *reg(NVIC_ICER + word) = bit;
}

/* Only once whatever raised it has been told to stop. */
static inline void stop_pending(uint32_t interrupt)
{
    *reg(NVIC_ICPR + interrupt / 32u * 4u) = 1u << (interrupt % 32u);
}

#endif
