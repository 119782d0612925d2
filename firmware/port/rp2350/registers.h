/* The registers of the RP2350 that this port uses. Section numbers: RP2350 data sheet. */
#ifndef HIL_RP2350_REGISTERS_H
#define HIL_RP2350_REGISTERS_H

#include <stdint.h>

static inline volatile uint32_t *reg(uint32_t address)
{
    return (volatile uint32_t *)(uintptr_t)address;
}

/* Atomic bit set and clear: aliases of every APB register, section 2.1.3. */
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
    /* Section 7.5 */
    RESETS_RESET = 0x40020000,
    RESETS_DONE = 0x40020008,
    RESET_IO_BANK0 = 1 << 6,
    RESET_PADS_BANK0 = 1 << 9,
    RESET_SPI0 = 1 << 18,
    RESET_PLL_SYS = 1 << 14,
    RESET_TIMER0 = 1 << 23,
    RESET_UART0 = 1 << 26,
    RESET_UART1 = 1 << 27,

    /* Section 7.4 */
    PSM_FORCE_OFF = 0x40018004,
    PSM_DONE = 0x4001800c,
    PSM_CORE1 = 1 << 24,

    /* Section 8.1 */
    CLK_REF_CTRL = 0x40010030,
    CLK_REF_DIV = 0x40010034,
    CLK_REF_SELECTED = 0x40010038,
    CLK_SYS_CTRL = 0x4001003c,
    CLK_SYS_DIV = 0x40010040,
    CLK_SYS_SELECTED = 0x40010044,
    CLK_PERI_CTRL = 0x40010048,
    CLK_PERI_DIV = 0x4001004c,
    CLK_DIV_1 = 1 << 16,
    CLK_REF_FROM_XOSC = 2,
    CLK_SYS_FROM_AUX = 1, /* auxiliary source 0 is pll_sys */
    CLK_PERI_ENABLE = 1 << 11,

    /* Section 8.2 */
    XOSC_CTRL = 0x40048000,
    XOSC_STATUS = 0x40048004,
    XOSC_STARTUP = 0x4004800c,
    XOSC_1_TO_15_MHZ = 0xaa0,
    XOSC_ENABLE = 0xfab << 12,

    /* Section 8.5 */
    TICKS_TIMER0_CTRL = 0x40108018,
    TICKS_TIMER0_CYCLES = 0x4010801c,
    TICKS_ENABLE = 1 << 0,

    /* Section 8.6 */
    PLL_SYS_CS = 0x40050000,
    PLL_SYS_PWR = 0x40050004,
    PLL_SYS_FBDIV = 0x40050008,
    PLL_SYS_PRIM = 0x4005000c,
    PLL_PD = 1 << 0,
    PLL_POSTDIV_PD = 1 << 3,
    PLL_VCO_PD = 1 << 5,

    /* Section 9.11 */
    GPIO0_CTRL = 0x40028004,
    GPIO1_CTRL = 0x4002800c,
    GPIO_IS_SPI = 1,
    GPIO_IS_UART = 2,
    GPIO_IS_SIO = 5,
    PADS_GPIO0 = 0x40038004,
    PADS_GPIO1 = 0x40038008,
    PAD_PULL_DOWN = 1 << 2,
    PAD_PULL_UP = 1 << 3,
    PAD_INPUT_ENABLE = 1 << 6,
    PAD_ISOLATED = 1 << 8,

    /* Section 12.1 */
    UART1 = 0x40078000,
    UART0_DR = 0x40070000,
    UART0_FR = 0x40070018,
    UART0_IBRD = 0x40070024,
    UART0_FBRD = 0x40070028,
    UART0_LCR_H = 0x4007002c,
    UART0_CR = 0x40070030,
    UART_FR_RX_EMPTY = 1 << 4,
    UART_FR_TX_FULL = 1 << 5,
    UART_8_BITS_FIFO = 3 << 5 | 1 << 4,
    UART_ENABLE = 1 << 9 | 1 << 8 | 1 << 0,

    /* Section 12.3 */
    SPI0_CR0 = 0x40080000,
    SPI0_CR1 = 0x40080004,
    SPI0_DR = 0x40080008,
    SPI0_SR = 0x4008000c,
    SPI0_CPSR = 0x40080010,
    SPI0_RIS = 0x40080018,
    SPI_MODE_3_OF_8_BITS = 1 << 7 | 1 << 6 | 7,
    SPI_ENABLE = 1 << 1,
    SPI_SR_TX_ROOM = 1 << 1,
    SPI_SR_RX_HELD = 1 << 2,
    SPI_SR_BUSY = 1 << 4,
    SPI_RIS_RX_HALF = 1 << 2, /* at least 4 of the 8 words of its FIFO are held */
    SPI_RIS_TX_HALF = 1 << 3, /* at most 4 are */

    /* Section 12.8 */
    TIMER0_RAW_HIGH = 0x400b0024,
    TIMER0_RAW_LOW = 0x400b0028,

    SIO_FIFO_HAS_WORD = 1 << 0,
    SIO_FIFO_HAS_ROOM = 1 << 1
};

/* SIO (section 3.1) and the processor's own registers (section 3.7.5). */
#define SIO_CPUID 0xd0000000u
#define SIO_GPIO_IN 0xd0000004u
#define SIO_GPIO_SET 0xd0000018u
#define SIO_GPIO_CLEAR 0xd0000020u
#define SIO_GPIO_ENABLE 0xd0000038u
#define SIO_FIFO_STATUS 0xd0000050u
#define SIO_FIFO_WRITE 0xd0000054u
#define SIO_FIFO_READ 0xd0000058u
#define DWT_CTRL 0xe0001000u
#define DWT_CYCCNT 0xe0001004u
#define DWT_COUNT_CYCLES 1u
#define CPACR 0xe000ed88u
#define CPACR_FPU (15u << 20)
#define DEMCR 0xe000edfcu
#define DEMCR_TRACE (1u << 24)

#endif
