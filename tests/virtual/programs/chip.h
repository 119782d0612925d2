/* The RP2040 registers that the test programs touch, and the two things all of them do. Nothing is zeroed: results
 * go to fixed words at RESULT. */
#ifndef CHIP_H
#define CHIP_H

#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(address))
#define RESULT ((volatile uint32_t *)0x20030000u)

#define RESETS_CLR REG(0x4000f000u)
#define RESET_DONE REG(0x4000c008u)
#define XOSC_CTRL REG(0x40024000u)
#define XOSC_STATUS REG(0x40024004u)
#define XOSC_STARTUP REG(0x4002400cu)
#define PLL_CS REG(0x40028000u)
#define PLL_PWR REG(0x40028004u)
#define PLL_PWR_CLR REG(0x4002b004u)
#define PLL_FBDIV REG(0x40028008u)
#define PLL_PRIM REG(0x4002800cu)
#define CLK_REF_CTRL REG(0x40008030u)
#define CLK_REF_SELECTED REG(0x40008038u)
#define CLK_SYS_CTRL REG(0x4000803cu)
#define CLK_SYS_SELECTED REG(0x40008044u)
#define CLK_PERI_CTRL REG(0x40008048u)
#define WATCHDOG_CTRL REG(0x40058000u)
#define WATCHDOG_LOAD REG(0x40058004u)
#define WATCHDOG_REASON REG(0x40058008u)
#define WATCHDOG_SCRATCH0 REG(0x4005800cu)
#define WATCHDOG_TICK REG(0x4005802cu)
#define TIMER_HIGH REG(0x40054008u)
#define TIMER_LOW REG(0x4005400cu)
#define TIMER_RAW_LOW REG(0x40054028u)
#define UART_DR REG(0x40034000u)
#define UART_FR REG(0x40034018u)
#define UART_IBRD REG(0x40034024u)
#define UART_FBRD REG(0x40034028u)
#define UART_LCR REG(0x4003402cu)
#define UART_CR REG(0x40034030u)
#define UART_RIS REG(0x4003403cu)
#define SIO_FIFO_ST REG(0xd0000050u)
#define SIO_FIFO_WR REG(0xd0000054u)
#define SIO_FIFO_RD REG(0xd0000058u)
#define SYST_CSR REG(0xe000e010u)
#define SYST_RVR REG(0xe000e014u)
#define SYST_CVR REG(0xe000e018u)
#define VTOR REG(0xe000ed08u)
#define AIRCR REG(0xe000ed0cu)

/* 12 MHz crystal, PLL 1500 MHz / 6 / 2 = 125 MHz, microsecond tick, everything out of reset. */
static inline void clocks(void)
{
    XOSC_STARTUP = 47;
    XOSC_CTRL = 0xfabaa0;
    while (!(XOSC_STATUS >> 31)) { }
    CLK_REF_CTRL = 2;
    while (CLK_REF_SELECTED != 4) { }
    RESETS_CLR = 0x01ffffff;
    while ((RESET_DONE & 0x01401000) != 0x01401000) { }
    PLL_CS = 1;
    PLL_FBDIV = 125;
    PLL_PWR_CLR = 0x21;
    while (!(PLL_CS >> 31)) { }
    PLL_PRIM = 6u << 16 | 2u << 12;
    PLL_PWR_CLR = 0x08;
    CLK_SYS_CTRL = 1;
    while (CLK_SYS_SELECTED != 2) { }
    CLK_PERI_CTRL = 0x800;
    WATCHDOG_TICK = 0x200 | 12;
}

/* UART0, 8N1 with FIFOs: 125 MHz / 16 / 67.8125 = 115207 baud, 10850 cycles a character. */
static inline void uart(void)
{
    UART_IBRD = 67;
    UART_FBRD = 52;
    UART_LCR = 0x70;
    UART_CR = 0x301;
}

static inline void put(uint32_t byte)
{
    while (UART_FR & 0x20) { }
    UART_DR = byte;
}

static inline uint32_t get(void)
{
    while (UART_FR & 0x10) { }
    return UART_DR;
}

#endif
