/* The RP2350 with its two Cortex-M33, from its own data sheet (section numbers here are those). unicorn runs the
 * instructions; their cost on the M33's pipeline is not modelled: each counts 1, so virtual time is instructions at
 * clk_sys. Not there: RISC-V cores, TrustZone's Non-secure state, OTP, QMI beyond storage, interrupts. */
#include "machine.h"

static const BlockInfo blocks[] = {
    {0x40000000u, storage_read, read_only, 0, 0, true, 21, BLOCK_PLAIN},      /* SYSINFO */
    {0x40008000u, storage_read, storage_write, 0, 0, true, 20, BLOCK_PLAIN},  /* SYSCFG */
    {0x40010000u, clocks_read, clocks_write, 0, 0, true, -1, BLOCK_CLOCKS},
    {0x40018000u, psm_read, psm_write, 0, 0, true, -1, BLOCK_PLAIN},
    {0x40020000u, resets_read, resets_write, 0, 0, true, -1, BLOCK_PLAIN},
    {0x40028000u, storage_read, storage_write, 0, 0, true, 6, BLOCK_PINS},    /* IO_BANK0 */
    {0x40030000u, storage_read, storage_write, 0, 0, true, 7, BLOCK_PLAIN},   /* IO_QSPI */
    {0x40038000u, storage_read, storage_write, 0, 0, true, 9, BLOCK_PADS},    /* PADS_BANK0 */
    {0x40040000u, storage_read, storage_write, 0, 0, true, 10, BLOCK_PLAIN},  /* PADS_QSPI */
    {0x40048000u, xosc_read, xosc_write, 0, 0, true, -1, BLOCK_XOSC},
    {0x40050000u, pll_read, pll_write, 0, 0, true, 14, BLOCK_PLL_SYS},
    {0x40058000u, pll_read, pll_write, 0, 0, true, 15, BLOCK_PLL_USB},
    {0x40060000u, storage_read, storage_write, 0, 0, true, -1, BLOCK_PLAIN},  /* ACCESSCTRL */
    {0x40068000u, storage_read, storage_write, 0, 0, true, 1, BLOCK_PLAIN},   /* BUSCTRL */
    {0x40070000u, pl011_read, pl011_write, 0, 0, true, 26, BLOCK_UART},
    {0x40078000u, pl011_1_read, pl011_1_write, 0, 0, true, 27, BLOCK_UART1},
    {0x40080000u, spi_read, spi_write, 0, 0, true, 18, BLOCK_SPI},            /* SPI0 */
    {0x400b0000u, timer_read, timer_write, 0, 0, true, 23, BLOCK_TIMER},      /* TIMER0 */
    {0x400c8000u, storage_read, storage_write, 0, 0, true, -1, BLOCK_PLAIN},  /* XIP_CTRL */
    {0x400d0000u, storage_read, storage_write, 0, 0, true, -1, BLOCK_PLAIN},  /* XIP_QMI */
    {0x400d8000u, watchdog_read, watchdog_write, 0, 0, true, -1, BLOCK_WATCHDOG},
    {0x400e0000u, storage_read, storage_write, 0, 0, true, -1, BLOCK_PLAIN},  /* BOOTRAM */
    {0x400e8000u, rosc_read, storage_write, 0, 0, true, -1, BLOCK_PLAIN},
    {0x40108000u, ticks_read, ticks_write, 0, 0, true, -1, BLOCK_TICKS},
    {0x3ffff000u, storage_read, flasher_write, 0, 0, false, -1, BLOCK_PLAIN}, /* the ROM's way into flash: flasher.c */
    {0xd0000000u, sio_read, sio_write, 0, 0, false, -1, BLOCK_PLAIN},
    {0xe0001000u, dwt_read, dwt_write, 0, 0, false, -1, BLOCK_PLAIN},
    {0xe000e000u, ppb_read, ppb_write, 0, 0, false, -1, BLOCK_PLAIN},         /* SysTick, NVIC, SCB, DCB */
};

static const ResetValue values[] = {
    {0x40000000u, 0x20004927u, 1, 4},                                    /* CHIP_ID (12.15) */
    {0x40010004u, 0x10000, 10, 12},                                      /* every divider (8.1) */
    {0x40028004u, 0x1f, 48, 8}, {0x40030014u, 0x1f, 6, 8},               /* no function selected */
    {0x40038004u, 0x116, 48, 4},                                         /* pads are isolated (9.7) */
    {0x40048000u + 0xc, 0xc4, 1, 4},
    {0x40050000u, 1, 1, 4}, {0x40050004u, 0x2d, 1, 4}, {0x4005000cu, 0x77000, 1, 4},
    {0x40058000u, 1, 1, 4}, {0x40058004u, 0x2d, 1, 4}, {0x4005800cu, 0x77000, 1, 4},
    {0x400e8000u, 0xaa0, 1, 4},
};

const Chip chip_rp2350 = {
    .name = "rp2350",
    .cpu = UC_CPU_ARM_CORTEX_M33,
    .cores = 2,
    .cost = cost_instructions,
    .rom_bytes = 0x8000,
    .flash_bytes = 0x400000,
    .ram_bytes = 0x82000,
    .flash_at = {0x10000000u, 0x14000000u, 0x1c000000u}, /* cached, not cached, nor translated (4.4) */
    .flash_windows = 3,
    .blocks = blocks,
    .block_count = sizeof blocks / sizeof *blocks,
    .values = values,
    .value_count = sizeof values / sizeof *values,
    .rates = rp2_rates,
    .uart = &uart_pl011,
    .resets_all = 0x1fffffffu,
    .psm_all = 0x1ffffffu,
    .psm_core1 = 24,
    .divider_bits = 16,
    .ref_divisions = 256,
    .rosc_hz = 11000000,
    .mailbox_words = 4,
    .gpio_step = 8,
    .has_ticks = true,
    .fault_status = true,
    .breakpoints_v2 = true,
    .cpuid = 0x411fd210u,
    .vtor_mask = 0xffffff80u,
};
