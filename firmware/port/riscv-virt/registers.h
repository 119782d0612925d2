/* The registers of QEMU's machine `virt` for RISC-V that this port uses.
 * Addresses: QEMU's documentation, "virt generic virtual platform"; layouts as each block's comment says. */
#ifndef HIL_RISCV_VIRT_REGISTERS_H
#define HIL_RISCV_VIRT_REGISTERS_H

#include <stdint.h>

static inline volatile uint32_t *reg(uint32_t address)
{
    return (volatile uint32_t *)(uintptr_t)address;
}

static inline volatile uint8_t *reg8(uint32_t address)
{
    return (volatile uint8_t *)(uintptr_t)address;
}

enum {
    /* Core-local interruptor (RISC-V ACLINT specification 1.0): one software interrupt word a hart, one timer. */
    CLINT_MSIP = 0x02000000,
    CLINT_MTIME = 0x0200bff8,
    CLINT_TICKS_PER_US = 10,

    /* Interrupt controller (RISC-V PLIC specification 1.0), context 0: hart 0 in machine mode. */
    PLIC_PRIORITY = 0x0c000000,
    PLIC_ENABLE = 0x0c002000,
    PLIC_CLAIM = 0x0c200004,
    PLIC_UART = 10,

    /* 16550 (TI PC16550D data sheet, section 8), one byte a register. */
    UART_DATA = 0x10000000,
    UART_IER = 0x10000001,
    UART_FCR = 0x10000002,
    UART_LCR = 0x10000003,
    UART_LSR = 0x10000005,
    UART_IER_RECEIVED = 1 << 0,
    UART_DIVISOR_LOW = UART_DATA, /* while LCR says so */
    UART_DIVISOR_HIGH = UART_IER,
    UART_FCR_FIFO_14 = 3 << 6 | 1 << 0, /* the interrupt comes with 14 bytes, or when four more could have come */
    UART_FCR_EMPTY_RECEIVER = 1 << 1,
    UART_LCR_8N1 = 3,
    UART_LCR_DIVISOR = 1 << 7,
    UART_LSR_RECEIVED = 1 << 0,
    UART_LSR_CAN_SEND = 1 << 5,

    /* Bits of mie and mip (RISC-V privileged architecture, section 3.1.9). */
    MIE_SOFTWARE = 1 << 3,
    MIE_EXTERNAL = 1 << 11
};

/* Waits for one of these interrupts to be pending. None is ever taken: mstatus.MIE stays 0, and WFI resumes all the
 * same (privileged architecture, section 3.3.3). One that is pending already makes it return at once. */
static inline void sleep_until(uint32_t interrupts)
{
    __asm__ volatile("csrw mie, %0\n\twfi" : : "r"(interrupts) : "memory");
}

#endif
