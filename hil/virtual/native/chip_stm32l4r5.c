/* The STM32L4R5ZI of ST's Nucleo-144 board, from RM0432: one Cortex-M4 with FPU, whose instructions unicorn runs; each counts 1
 * (see chip_rp2350.c). Flash is seen at 0 too, where the core looks for vectors after reset. In place of a boot ROM it has the
 * factory's words. Not there: the other UARTs, timers and ports, DMA, SRAM2's own address, the boot loader, interrupts. */
#include "machine.h"

static const BlockInfo blocks[] = {
    {0x40000000u, stm32_tim_read, stm32_tim_write, 0, 0, false, STM32_TIM2, BLOCK_TIMER},
    {0x40007000u, stm32_pwr_read, stm32_pwr_write, 0, 0, false, STM32_PWR, BLOCK_POWER},
    {0x40008000u, stm32_uart_read, stm32_uart_write, 0, 0, false, STM32_LPUART1, BLOCK_UART},
    {0x40021000u, stm32_rcc_read, stm32_rcc_write, 0, 0, false, -1, BLOCK_CLOCKS},
    {0x40022000u, stm32_flash_read, stm32_flash_write, 0, 0, false, -1, BLOCK_FLASH},
    {0x48001800u, storage_read, stm32_gpio_write, 0, 0, false, STM32_GPIOG, BLOCK_GPIO},
    {0xe0001000u, dwt_read, dwt_write, 0, 0, false, -1, BLOCK_PLAIN},
    {0xe000e000u, ppb_read, ppb_write, 0, 0, false, -1, BLOCK_PLAIN},       /* SysTick, NVIC, SCB, DCB */
    {0xe0042000u, storage_read, storage_write, 0, 0, false, -1, BLOCK_PLAIN}, /* DBGMCU */
};

static const ResetValue values[] = {
    {0x4000002cu, UINT32_MAX, 1, 4},                                   /* ARR */
    {0x40007000u, 0x200, 1, 4}, {0x40007080u, 0x100, 1, 4},            /* range 1, without boost */
    {0x40021000u, 0x61, 1, 4}, {0x4002100cu, 0x1000, 1, 4},            /* MSI, 4 MHz */
    {0x40022000u, 0x600, 1, 4}, {0x40022014u, 0xc0000000u, 1, 4},      /* caches on; locked */
    {0x48001800u, UINT32_MAX, 1, 4},                                   /* all pins analogue */
    {0xe0042000u, 0x10016470u, 1, 4},                                  /* IDCODE: STM32L4R and L4S (57.6.1) */
};

const Chip chip_stm32l4r5 = {
    .name = "stm32l4r5",
    .cpu = UC_CPU_ARM_CORTEX_M4,
    .cores = 1,
    .cost = cost_instructions,
    .rom_at = 0x1fff7000u,
    .rom_bytes = 0x1000,
    .flash_bytes = 0x200000,
    .ram_bytes = 0xa0000,
    .flash_at = {0x08000000u, 0},
    .flash_windows = 2,
    .blocks = blocks,
    .block_count = sizeof blocks / sizeof *blocks,
    .values = values,
    .value_count = sizeof values / sizeof *values,
    .rates = stm32_rates,
    .uart = &uart_stm32,
    .stored_flash = &flash_stm32,
    .resets_all = 1u << STM32_PWR | 1u << STM32_TIM2 | 1u << STM32_LPUART1 | 1u << STM32_GPIOG,
    .fault_status = true,
    .cpuid = 0x410fc241u,
    .vtor_mask = 0xffffff80u,
};
