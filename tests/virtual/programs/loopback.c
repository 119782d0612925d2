/* Sends itself bytes through the UART's own loop, polls for each, and stamps it with SysTick. */
#include "chip.h"

void main(void)
{
    clocks();
    uart();
    UART_CR = 0x381;
    SYST_RVR = 0xffffff;
    SYST_CVR = 0;
    SYST_CSR = 5;
    for (uint32_t i = 0; i < 20; i++) {
        uint32_t before = SYST_CVR;
        UART_DR = 0x30 + i;
        RESULT[2 * i] = get();
        RESULT[2 * i + 1] = before - SYST_CVR;
    }
    uint32_t before = SYST_CVR;
    for (uint32_t i = 0; i < 20; i++) UART_DR = i;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 20; i++) sum += get();
    RESULT[40] = sum;
    RESULT[41] = before - SYST_CVR;
    RESULT[42] = 0xd03e;
}
