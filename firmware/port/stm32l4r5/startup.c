/* From the vector table to main: memory, then clocks, then everything else. No interrupts are used. */
#include "cortex_m.h"
#include "registers.h"
#include "stm32l4r5.h"

int main(void);

/* MSI at 4 MHz, as after reset, times 60, divided by 2, or 4 for half the clock (section 6.2.5). */
#define PLL_MSI 1u
#define PLL_TIMES (60u << 8)
#define PLL_OUTPUT (1u << 24)
#define PLL_DIVIDER ((120000000u / HIL_CLOCK_HZ - 1u) << 25)
_Static_assert(HIL_CLOCK_HZ == 120000000 || HIL_CLOCK_HZ == 60000000, "these dividers make 120 MHz or half of it");
#define WAIT_STATES 5u /* one for each 20 MHz (section 3.3.3) */

/* A clock that was switched on just now reaches its block two cycles later: reading the register back takes that long. */
static void switch_on(uint32_t address, uint32_t bits)
{
    *reg(address) |= bits;
    (void)*reg(address);
}

static void run_from(uint32_t source)
{
    *reg(RCC_CFGR) = source;
    while ((*reg(RCC_CFGR) & RCC_CFGR_STATUS) != (source & 3u) << 2) {
    }
}

static void start_clocks(void)
{
    run_from(0); /* off the PLL: a debugger may have started this image while it ran */
    *reg(RCC_CR) &= ~(uint32_t)RCC_CR_PLL_ON;
    while ((*reg(RCC_CR) & RCC_CR_PLL_READY) != 0u) {
    }
    switch_on(RCC_APB1ENR1, RCC_APB1ENR1_PWR);
    *reg(PWR_CR1) |= PWR_CR1_BACKUP_OPEN;
    *reg(RCC_BDCR) |= RCC_BDCR_LSE_ON; /* the crystal; stm32l4r5_follow_crystal does the rest */

    *reg(PWR_CR5) &= ~(uint32_t)PWR_CR5_NO_BOOST; /* above 80 MHz (section 5.1.8) */
    *reg(FLASH_ACR) = FLASH_PREFETCH_AND_CACHES | WAIT_STATES;
    while ((*reg(FLASH_ACR) & FLASH_LATENCY) != WAIT_STATES) {
    }
    *reg(RCC_PLLCFGR) = PLL_MSI | PLL_TIMES | PLL_OUTPUT | PLL_DIVIDER;
    *reg(RCC_CR) |= RCC_CR_PLL_ON;
    while ((*reg(RCC_CR) & RCC_CR_PLL_READY) == 0u) {
    }
    run_from(RCC_CFGR_FROM_PLL | RCC_CFGR_HALF); /* a microsecond at half the clock first (section 6.2.9) */
    for (volatile uint32_t round = 0; round < 60u; round++) {
    }
    run_from(RCC_CFGR_FROM_PLL);
}

__attribute__((noreturn)) static void hil_reset(void)
{
    enable_fpu();
    set_up_memory();
    start_clocks();
    *reg(PWR_CR2) |= PWR_CR2_VDDIO2; /* or port G's pins stay cut off (section 5.1.5) */
    switch_on(RCC_AHB2ENR, RCC_AHB2ENR_GPIOG);
    switch_on(RCC_APB1ENR1, RCC_APB1ENR1_TIM2);
    switch_on(RCC_APB1ENR2, RCC_APB1ENR2_LPUART1);
    stm32l4r5_start_clock_counters();
    stm32l4r5_start_console();
    main();
    for (;;) {
    }
}

/* RM0432, 13.3: 95 interrupts. The configurable faults are left off, so that all of them arrive as hard faults; CFSR, HFSR and
 * BFAR say more to a debugger. */
__attribute__((section(".vectors"), used)) const struct {
    uint32_t *stack;
    handler exceptions[15];
    handler interrupts[95];
} __hil_vectors = {
    __hil_stack0_top,
    {hil_reset, [1 ... 14] = on_exception},
    {[0 ... 94] = on_exception},
};
