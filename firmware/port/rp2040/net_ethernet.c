/* The pins of the W5500. Its driver is in w5500.c, beside the ports. */
#include "registers.h"
#include "w5500.h"

static void give(uint32_t pin, uint32_t function)
{
    *reg(GPIO0_CTRL + 8u * pin) = function;
}

void w5500_connect(void)
{
    clear_bits(RESETS_RESET, RESET_SPI0);
    wait_bits(RESETS_DONE, RESET_SPI0);
    const uint32_t outputs = 1u << W5500_SELECT | 1u << W5500_RESET;
    *reg(SIO_GPIO_SET) = outputs;
    *reg(SIO_GPIO_ENABLE) = outputs;
    give(W5500_MISO, GPIO_IS_SPI);
    give(W5500_CLOCK, GPIO_IS_SPI);
    give(W5500_MOSI, GPIO_IS_SPI);
    give(W5500_SELECT, GPIO_IS_SIO);
    give(W5500_RESET, GPIO_IS_SIO);
    give(W5500_INTERRUPT, GPIO_IS_SIO);
    clear_bits(PADS_GPIO0 + 4u * W5500_INTERRUPT, PAD_PULL_DOWN);
    set_bits(PADS_GPIO0 + 4u * W5500_INTERRUPT, PAD_PULL_UP);
}
