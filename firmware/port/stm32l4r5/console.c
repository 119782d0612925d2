/* LPUART1, polled (section 51). Its receive FIFO of 8 bytes is emptied by the main loop between requests. */
#include "port.h"
#include "registers.h"
#include "stm32l4r5.h"

enum { PIN_TX = 7, PIN_RX = 8, IS_ALTERNATE = 2, IS_LPUART1 = 8, PULL_UP = 1 };

static void set_field(uint32_t address, uint32_t at, uint32_t bits, uint32_t value)
{
    const uint32_t mask = ((1u << bits) - 1u) << at;
    *reg(address) = (*reg(address) & ~mask) | value << at;
}

void stm32l4r5_start_console(void)
{
    /* Divider in 1/256, rounded (section 51.4.7); the clock is the bus's, which is the core's. */
    *reg(LPUART1_BRR) = (uint32_t)((512ull * HIL_CLOCK_HZ / HIL_BAUD + 1u) / 2u);
    *reg(LPUART1_CR1) = LPUART_ENABLE;
    set_field(GPIOG_PUPDR, 2u * PIN_RX, 2, PULL_UP); /* an open line must read as idle */
    set_field(GPIOG_AFRL, 4u * PIN_TX, 4, IS_LPUART1);
    set_field(GPIOG_AFRH, 4u * (PIN_RX - 8u), 4, IS_LPUART1);
    set_field(GPIOG_MODER, 2u * PIN_TX, 2, IS_ALTERNATE);
    set_field(GPIOG_MODER, 2u * PIN_RX, 2, IS_ALTERNATE);
}

int32_t hil_port_getc(void)
{
    if ((*reg(LPUART1_ISR) & LPUART_RECEIVED) == 0u) {
        const bool swings = !stm32l4r5_follows_crystal && (*reg(RCC_BDCR) & RCC_BDCR_LSE_READY) != 0u;
        return swings ? stm32l4r5_follow_crystal() : -1; /* a jump: a round of waiting stores nothing, not even on the stack */
    }
    /* A framing error or an overrun is left in ISR, where it stops nothing: the frame's CRC finds what it did. */
    return (int32_t)(*reg(LPUART1_RDR) & 0xffu);
}

void hil_port_putc(uint8_t byte)
{
    while ((*reg(LPUART1_ISR) & LPUART_HAS_ROOM) == 0u) {
    }
    *reg(LPUART1_TDR) = byte;
}
