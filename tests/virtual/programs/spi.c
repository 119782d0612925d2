/* SPI0 in loopback: its FIFOs, its flags, how long words take; and a format that the machine does not model. */
#include "chip.h"

#define SPI_CR0 REG(0x4003c000u)
#define SPI_CR1 REG(0x4003c004u)
#define SPI_DR REG(0x4003c008u)
#define SPI_SR REG(0x4003c00cu)
#define SPI_CPSR REG(0x4003c010u)
#define SPI_RIS REG(0x4003c018u)
#define SPI_ICR REG(0x4003c020u)

static uint32_t timed(uint32_t prescale, uint32_t rate, uint32_t words)
{
    SPI_CR1 = 0;
    SPI_CPSR = prescale;
    SPI_CR0 = rate << 8 | 0xc7;
    SPI_CR1 = 3;
    const uint32_t begun = SYST_CVR;
    for (uint32_t i = 0; i < words; i++) SPI_DR = 0x1a0 + i;
    while (SPI_SR & 16) { }
    return begun - SYST_CVR;
}

void main(void)
{
    clocks();
    SYST_RVR = 0xffffff;
    SYST_CVR = 0;
    SYST_CSR = 5;
    volatile uint32_t *result = RESULT;
    *result++ = SPI_SR;              /* empty */
    *result++ = timed(100, 9, 1);    /* 8 bits of 1000 cycles */
    *result++ = timed(100, 9, 8);
    *result++ = SPI_SR;              /* nine came back to a FIFO of eight */
    *result++ = SPI_RIS;
    for (uint32_t i = 0; i < 9; i++) *result++ = SPI_DR; /* the ninth is nothing: lost */
    SPI_ICR = 1;
    *result++ = SPI_RIS;
    *result++ = SPI_SR;
    SPI_CR1 = 0;
    SPI_CR0 = 0x07; /* mode 0 */
    SPI_CR1 = 3;
    *result = 0xd03e;
    for (;;) { }
}
