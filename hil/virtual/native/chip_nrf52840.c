/* The nRF52840 of Nordic's development kit, from its Product Specification: one Cortex-M4 with FPU, whose instructions unicorn
 * runs; each counts 1 (see chip_rp2350.c). In place of a boot ROM it has the factory's words, FICR. Not there: radio, the other
 * UARTs and timers, DMA, GPIO beyond storage, interrupts, protection of the debug port. */
#include "machine.h"

static const BlockInfo blocks[] = {
    {0x10001000u, uicr_read, uicr_write, 0, 0, false, -1, BLOCK_PLAIN},
    {0x40000000u, nrf_clock_read, nrf_clock_write, 0, 0, false, -1, BLOCK_CLOCKS}, /* CLOCK and POWER */
    {0x40002000u, nrf_uart_read, nrf_uart_write, 0, 0, false, -1, BLOCK_UART},     /* UART0 */
    {0x40008000u, nrf_timer_read, nrf_timer_write, 0, 0, false, -1, BLOCK_TIMER},  /* TIMER0 */
    {0x40010000u, storage_read, storage_write, 0, 0, false, -1, BLOCK_PLAIN},      /* WDT, which nobody starts */
    {0x4001e000u, nvmc_read, nvmc_write, 0, 0, false, -1, BLOCK_FLASH},            /* NVMC */
    {0x50000000u, storage_read, storage_write, 0, 0, false, -1, BLOCK_PLAIN},      /* P0 and P1 */
    {0xe0001000u, dwt_read, dwt_write, 0, 0, false, -1, BLOCK_PLAIN},
    {0xe000e000u, ppb_read, ppb_write, 0, 0, false, -1, BLOCK_PLAIN},              /* SysTick, NVIC, SCB, DCB */
};

static const ResetValue values[] = {
    {0x40002508u, UINT32_MAX, 4, 4}, {0x40002524u, 0x04000000u, 1, 4}, /* no pins; 250 kbaud */
    {0x40008510u, 4, 1, 4},                                            /* 1 MHz */
    {0x50000700u, 2, 32, 4}, {0x50000a00u, 2, 16, 4},                  /* inputs that are disconnected */
};

const Chip chip_nrf52840 = {
    .name = "nrf52840",
    .cpu = UC_CPU_ARM_CORTEX_M4,
    .cores = 1,
    .cost = cost_instructions,
    .rom_at = 0x10000000u,
    .rom_bytes = 0x1000,
    .flash_bytes = 0x100000,
    .ram_bytes = 0x40000,
    .flash_at = {0},
    .flash_windows = 1,
    .blocks = blocks,
    .block_count = sizeof blocks / sizeof *blocks,
    .values = values,
    .value_count = sizeof values / sizeof *values,
    .rates = nrf_rates,
    .uart = &uart_nrf,
    .stored_flash = &flash_nvmc,
    .fault_status = true,
    .cpuid = 0x410fc241u,
    .vtor_mask = 0xffffff80u,
};
