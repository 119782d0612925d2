/* The RP2040: two Cortex-M0+, from its data sheet. A peripheral behind the APB bridge costs 2 cycles more to read and 3
 * more to write, as the third-party emulator rp2040js charges them; SIO, on the single-cycle I/O port, 1 less. */
#include "machine.h"

static const BlockInfo blocks[] = {
    {0x14000000u, storage_read, storage_write, 0, 0, true, -1, BLOCK_PLAIN},  /* XIP_CTRL */
    {0x18000000u, ssi_read, ssi_write, 2, 3, true, -1, BLOCK_PLAIN},          /* XIP_SSI */
    {0x40000000u, storage_read, read_only, 2, 3, true, -1, BLOCK_PLAIN},      /* SYSINFO */
    {0x40004000u, storage_read, storage_write, 2, 3, true, 18, BLOCK_PLAIN},  /* SYSCFG */
    {0x40008000u, clocks_read, clocks_write, 2, 3, true, -1, BLOCK_CLOCKS},
    {0x4000c000u, resets_read, resets_write, 2, 3, true, -1, BLOCK_PLAIN},
    {0x40010000u, psm_read, psm_write, 2, 3, true, -1, BLOCK_PLAIN},
    {0x40014000u, storage_read, storage_write, 2, 3, true, 5, BLOCK_PINS},    /* IO_BANK0 */
    {0x40018000u, storage_read, storage_write, 2, 3, true, 6, BLOCK_PLAIN},   /* IO_QSPI */
    {0x4001c000u, storage_read, storage_write, 2, 3, true, 8, BLOCK_PADS},    /* PADS_BANK0 */
    {0x40020000u, storage_read, storage_write, 2, 3, true, 9, BLOCK_PLAIN},   /* PADS_QSPI */
    {0x40024000u, xosc_read, xosc_write, 2, 3, true, -1, BLOCK_XOSC},
    {0x40028000u, pll_read, pll_write, 2, 3, true, 12, BLOCK_PLL_SYS},
    {0x4002c000u, pll_read, pll_write, 2, 3, true, 13, BLOCK_PLL_USB},
    {0x40030000u, storage_read, storage_write, 2, 3, true, 1, BLOCK_PLAIN},   /* BUSCTRL */
    {0x40034000u, pl011_read, pl011_write, 2, 3, true, 22, BLOCK_UART},
    {0x40038000u, pl011_1_read, pl011_1_write, 2, 3, true, 23, BLOCK_UART1},
    {0x4003c000u, spi_read, spi_write, 2, 3, true, 16, BLOCK_SPI},            /* SPI0 */
    {0x40054000u, timer_read, timer_write, 2, 3, true, 21, BLOCK_TIMER},
    {0x40058000u, watchdog_read, watchdog_write, 2, 3, true, -1, BLOCK_WATCHDOG},
    {0x40060000u, rosc_read, storage_write, 2, 3, true, -1, BLOCK_PLAIN},
    {0x40064000u, storage_read, storage_write, 2, 3, true, -1, BLOCK_PLAIN},  /* VREG_AND_CHIP_RESET */
    {0x3ffff000u, storage_read, flasher_write, 0, 0, false, -1, BLOCK_PLAIN}, /* the ROM's way into flash: flasher.c */
    {0xd0000000u, sio_read, sio_write, -1, -1, false, -1, BLOCK_PLAIN},
    {0xe000e000u, ppb_read, ppb_write, 0, 0, false, -1, BLOCK_PLAIN},         /* the core's own: SysTick, NVIC, SCB */
};

static const ResetValue values[] = {
    {0x14000000u, 3, 1, 4}, {0x14000008u, 2, 1, 4},                      /* XIP on; FLUSH ready */
    {0x40000000u, 0x20002927u, 1, 4}, {0x40000004u, 2, 1, 4},            /* CHIP_ID of stepping B2 (2.20); ASIC */
    {0x40008004u, 0x100, 10, 12}, {0x40008040u, 0x100, 1, 4},            /* every divider */
    {0x400080a0u, UINT32_MAX, 2, 8}, {0x400080a4u, 0x7fff, 2, 8},
    {0x40014004u, 0x1f, 30, 8}, {0x40018004u, 0x1f, 6, 8},               /* no function selected */
    {0x4001c004u, 0x56, 30, 4}, {0x40020004u, 0x56, 6, 4},
    {0x4002400cu, 0xc4, 1, 4},
    {0x40028000u, 1, 1, 4}, {0x40028004u, 0x2d, 1, 4}, {0x4002800cu, 0x77000, 1, 4},
    {0x4002c000u, 1, 1, 4}, {0x4002c004u, 0x2d, 1, 4}, {0x4002c00cu, 0x77000, 1, 4},
    {0x40060000u, 0xaa0, 1, 4}, {0x40060010u, 0xaa0, 1, 4},
    {0x40064000u, 0x10b1, 1, 4}, {0x40064004u, 0x91, 1, 4}, {0x40064008u, 0x100, 1, 4},
};

const Chip chip_rp2040 = {
    .name = "rp2040",
    .cpu = UC_CPU_ARM_CORTEX_M0,
    .cores = 2,
    .cost = cost_m0plus,
    .entry_cycles = 15,
    .exit_cycles = 13,
    .rom_bytes = 0x4000,
    .flash_bytes = 0x200000,
    .ram_bytes = 0x42000,
    .flash_at = {0x10000000u, 0x11000000u, 0x12000000u, 0x13000000u}, /* cached, and three that are not (2.6.3) */
    .flash_windows = 4,
    .blocks = blocks,
    .block_count = sizeof blocks / sizeof *blocks,
    .values = values,
    .value_count = sizeof values / sizeof *values,
    .rates = rp2_rates,
    .uart = &uart_pl011,
    .resets_all = 0x01ffffffu,
    .psm_all = 0x1ffffu,
    .psm_core1 = 16,
    .divider_bits = 8,
    .ref_divisions = 4,
    .rosc_hz = 6500000,
    .mailbox_words = 8,
    .has_divider = true,
    .gpio_step = 4,
    .watchdog_by_two = true,
    .cpuid = 0x410cc601u,
    .vtor_mask = 0xffffff00u,
};
