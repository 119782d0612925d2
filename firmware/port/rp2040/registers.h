/* The registers of the RP2040 that this port uses. Section numbers: RP2040 data sheet. */
#ifndef HIL_RP2040_REGISTERS_H
#define HIL_RP2040_REGISTERS_H

#include <stdint.h>

static inline volatile uint32_t *reg(uint32_t address)
{
    return (volatile uint32_t *)(uintptr_t)address;
}

/* Atomic bit set and clear: aliases of every APB register, section 2.1.2. */
static inline void set_bits(uint32_t address, uint32_t bits)
{
    *reg(address + 0x2000u) = bits;
}

static inline void clear_bits(uint32_t address, uint32_t bits)
{
    *reg(address + 0x3000u) = bits;
}

static inline void wait_bits(uint32_t address, uint32_t bits)
{
    while ((*reg(address) & bits) != bits) {
    }
}

enum {
    /* Section 2.14 */
    RESETS_RESET = 0x4000c000,
    RESETS_DONE = 0x4000c008,
    RESET_IO_BANK0 = 1 << 5,
    RESET_PADS_BANK0 = 1 << 8,
    RESET_SPI0 = 1 << 16,
    RESET_PLL_SYS = 1 << 12,
    RESET_TIMER = 1 << 21,
    RESET_UART0 = 1 << 22,
    RESET_UART1 = 1 << 23,

    /* Section 2.13 */
    PSM_FORCE_OFF = 0x40010004,
    PSM_DONE = 0x4001000c,
    PSM_CORE1 = 1 << 16,

    /* Section 2.15 */
    CLK_REF_CTRL = 0x40008030,
    CLK_REF_DIV = 0x40008034,
    CLK_REF_SELECTED = 0x40008038,
    CLK_SYS_CTRL = 0x4000803c,
    CLK_SYS_DIV = 0x40008040,
    CLK_SYS_SELECTED = 0x40008044,
    CLK_PERI_CTRL = 0x40008048,
    CLK_REF_FROM_XOSC = 2,
    CLK_SYS_FROM_AUX = 1, /* auxiliary source 0 is pll_sys */
    CLK_PERI_ENABLE = 1 << 11,

    /* Section 2.16 */
    XOSC_CTRL = 0x40024000,
    XOSC_STATUS = 0x40024004,
    XOSC_STARTUP = 0x4002400c,
    XOSC_1_TO_15_MHZ = 0xaa0,
    XOSC_ENABLE = 0xfab << 12,

    /* Section 2.18 */
    PLL_SYS_CS = 0x40028000,
    PLL_SYS_PWR = 0x40028004,
    PLL_SYS_FBDIV = 0x40028008,
    PLL_SYS_PRIM = 0x4002800c,
    PLL_PD = 1 << 0,
    PLL_POSTDIV_PD = 1 << 3,
    PLL_VCO_PD = 1 << 5,

    /* Section 2.19 */
    GPIO0_CTRL = 0x40014004,
    GPIO1_CTRL = 0x4001400c,
    GPIO_IS_UART = 2,
    PADS_GPIO0 = 0x4001c004,
    PADS_GPIO1 = 0x4001c008,
    PAD_PULL_DOWN = 1 << 2,
    PAD_PULL_UP = 1 << 3,
    GPIO_IS_SPI = 1,
    GPIO_IS_SIO = 5,

    /* Section 4.2 */
    UART1 = 0x40038000,
    UART0_DR = 0x40034000,
    UART0_FR = 0x40034018,
    UART0_IBRD = 0x40034024,
    UART0_FBRD = 0x40034028,
    UART0_LCR_H = 0x4003402c,
    UART0_CR = 0x40034030,
    UART_FR_RX_EMPTY = 1 << 4,
    UART_FR_TX_FULL = 1 << 5,
    UART_8_BITS_FIFO = 3 << 5 | 1 << 4,
    UART_ENABLE = 1 << 9 | 1 << 8 | 1 << 0,

    /* Section 4.4 */
    SPI0_CR0 = 0x4003c000,
    SPI0_CR1 = 0x4003c004,
    SPI0_DR = 0x4003c008,
    SPI0_SR = 0x4003c00c,
    SPI0_CPSR = 0x4003c010,
    SPI0_RIS = 0x4003c018,
    SPI_MODE_3_OF_8_BITS = 1 << 7 | 1 << 6 | 7,
    SPI_ENABLE = 1 << 1,
    SPI_SR_TX_ROOM = 1 << 1,
    SPI_SR_RX_HELD = 1 << 2,
    SPI_SR_BUSY = 1 << 4,
    SPI_RIS_RX_HALF = 1 << 2, /* at least 4 of the 8 words of its FIFO are held */
    SPI_RIS_TX_HALF = 1 << 3, /* at most 4 are */

    /* Section 4.6 */
    TIMER_RAW_HIGH = 0x40054024,
    TIMER_RAW_LOW = 0x40054028,

    /* Section 4.7 */
    WATCHDOG_TICK = 0x4005802c,
    WATCHDOG_TICK_ENABLE = 1 << 9
};

/* Single-cycle IO (section 2.3.1) and the processor's own registers (section 2.4.8). */
#define SIO_CPUID 0xd0000000u
#define SIO_GPIO_IN 0xd0000004u
#define SIO_GPIO_SET 0xd0000014u
#define SIO_GPIO_CLEAR 0xd0000018u
#define SIO_GPIO_ENABLE 0xd0000024u
#define SIO_FIFO_STATUS 0xd0000050u
#define SIO_FIFO_WRITE 0xd0000054u
#define SIO_FIFO_READ 0xd0000058u
#define SIO_FIFO_HAS_WORD 1u
#define SIO_FIFO_HAS_ROOM 2u
#define SYST_CSR 0xe000e010u
#define SYST_RVR 0xe000e014u
#define SYST_CVR 0xe000e018u
#define SYST_RUN_ON_CPU_CLOCK 5u
#define SYST_MAX 0x00ffffffu

#endif
