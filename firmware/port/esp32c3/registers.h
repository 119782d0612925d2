/* The registers of the ESP32-C3 that this port uses. Source: ESP32-C3 Technical Reference Manual, version 1.0; chapters
 * as each block's comment says. */
#ifndef HIL_ESP32C3_REGISTERS_H
#define HIL_ESP32C3_REGISTERS_H

#include <stdint.h>

static inline volatile uint32_t *reg(uint32_t address)
{
    return (volatile uint32_t *)(uintptr_t)address;
}

static inline void set_bits(uint32_t address, uint32_t bits)
{
    *reg(address) |= bits;
}

static inline void clear_bits(uint32_t address, uint32_t bits)
{
    *reg(address) &= ~bits;
}

enum {
    /* UART0 (chapter "UART Controller"). The counts in STATUS are of bytes in the FIFOs, 128 each. */
    UART_FIFO = 0x60000000,
    UART_CLKDIV = 0x60000014,
    UART_STATUS = 0x6000001c,
    UART_CONF0 = 0x60000020,
    UART_FSM_STATUS = 0x6000006c,
    UART_CLK_CONF = 0x60000078,
    UART_ID = 0x60000080,
    UART_STATUS_RECEIVED = 0x3ff,
    UART_STATUS_TO_SEND_AT = 16,
    UART_STATUS_TO_SEND = 0x3ff << UART_STATUS_TO_SEND_AT,
    UART_FIFO_ROOM = 128,
    UART_CONF0_8N1 = 3 << 2 | 1 << 4,
    UART_CONF0_MEMORY_CLOCK = 1 << 28,
    UART_CONF0_EMPTY_RECEIVER = 1 << 17,
    UART_FSM_SENDS = 0xf << 4,
    UART_CLK_CONF_XTAL = 3 << 20 | 1 << 22 | 1 << 24 | 1 << 25, /* divided by 1; both directions clocked */
    UART_ID_BY_HAND = 1 << 30, /* while 0, registers reach the UART's own clock domain when UPDATE is written */
    UART_XTAL_HZ = 40000000,

    /* Chapter "Watchdog Timers" and the registers of "Timer Group" and "Low-power Management". */
    RTC_OPTIONS0 = 0x60008000,
    RTC_WDT_CONFIG0 = 0x60008090,
    RTC_WDT_PROTECT = 0x600080a8,
    RTC_SWD_CONF = 0x600080ac,
    RTC_SWD_PROTECT = 0x600080b0,
    TIMG0_WDT_CONFIG0 = 0x6001f048,
    TIMG0_WDT_PROTECT = 0x6001f064,
    WDT_KEY = 0x50d83aa1,
    RTC_OPTIONS0_PLL_OFF = 1 << 6 | 1 << 8 | 1 << 10, /* the PLL, and the internal buses to it */

    /* Chapter "System Timer": 52 bits at 16 MHz, whatever the core's clock. */
    SYSTIMER_CONF = 0x60023000,
    SYSTIMER_UNIT0_OP = 0x60023004,
    SYSTIMER_UNIT0_HIGH = 0x60023040,
    SYSTIMER_UNIT0_LOW = 0x60023044,
    SYSTIMER_OP_UPDATE = 1 << 30,
    SYSTIMER_OP_VALID = 1 << 29,
    SYSTIMER_CONF_UNIT0 = 1 << 30,
    SYSTIMER_SHIFT_PER_US = 4,

    /* Chapter "Reset and Clock", section "CPU Clock": PLL at 480 MHz; the core gets 80 or 160 MHz. */
    SYSTEM_CPU_PER_CONF = 0x600c0008,
    SYSTEM_SYSCLK_CONF = 0x600c0058,
    CPU_PER_CONF_SELECT = 3,
    CPU_PER_CONF_160_MHZ = 1,
    CPU_PER_CONF_PLL_480 = 1 << 2,
    SYSCLK_CONF_SOURCE = 3 << 10,
    SYSCLK_CONF_PLL = 1 << 10
};

/* These do not fit in an enumerator, which is an int. */
static const uint32_t RTC_SWD_KEY = 0x8f1d312au;
static const uint32_t RTC_SWD_FEEDS_ITSELF = 0x80000000u;
static const uint32_t UART_ID_UPDATE = 0x80000000u;

#endif
