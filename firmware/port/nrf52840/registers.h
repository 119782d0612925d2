/* The registers of the nRF52840 that this port uses. Section numbers: nRF52840 Product Specification. */
#ifndef HIL_NRF52840_REGISTERS_H
#define HIL_NRF52840_REGISTERS_H

#include "cortex_m4.h"

enum {
    /* Section 4.3 */
    NVMC_ICACHECNF = 0x4001e540,
    NVMC_CACHE_ENABLE = 1 << 0,

    /* Section 4.8: lets a debugger in, on chips (from revision F on) whose port is closed unless firmware says so */
    APPROTECT_DISABLE = 0x40000558,
    APPROTECT_OPEN = 0x5a,

    /* Section 5.4 */
    CLOCK_HFCLKSTART = 0x40000000,
    CLOCK_HFCLKSTARTED = 0x40000100,

    /* Section 6.9 */
    P0_OUTSET = 0x50000508,
    P0_DIRSET = 0x50000518,
    P0_PIN_CNF = 0x50000700,
    PIN_CNF_INPUT_PULL_UP = 3 << 2,
    PIN_CNF_INPUT_PULL_DOWN = 1 << 2,

    /* Section 6.30 */
    TIMER0_START = 0x40008000,
    TIMER0_CLEAR = 0x4000800c,
    TIMER0_CAPTURE0 = 0x40008040,
    TIMER0_MODE = 0x40008504,
    TIMER0_BITMODE = 0x40008508,
    TIMER0_PRESCALER = 0x40008510,
    TIMER0_CC0 = 0x40008540,
    TIMER_32_BITS = 3,
    TIMER_1_MHZ = 4, /* 16 MHz / 2^4 */

    /* Section 6.33 */
    UART0_STARTRX = 0x40002000,
    UART0_STARTTX = 0x40002008,
    UART0_RXDRDY = 0x40002108,
    UART0_TXDRDY = 0x4000211c,
    UART0_ENABLE = 0x40002500,
    UART0_PSEL_RTS = 0x40002508,
    UART0_PSEL_TXD = 0x4000250c,
    UART0_PSEL_CTS = 0x40002510,
    UART0_PSEL_RXD = 0x40002514,
    UART0_RXD = 0x40002518,
    UART0_TXD = 0x4000251c,
    UART0_BAUDRATE = 0x40002524,
    UART0_CONFIG = 0x4000256c,
    UART_ENABLE = 4,
    UART_1_MBAUD = 0x10000000,
    UART_115200 = 0x01d7e000,
    UART_FLOW_CONTROL = 1
};

#endif
