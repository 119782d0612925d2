/* The address map (2.2), and what an access to each part of it costs.
 *
 * A 2-cycle load or store is in the block's cost already. SIO is on the single-cycle I/O port: 1 less. A peripheral on
 * APB: 2 more to read, 3 more to write, as the third-party emulator rp2040js charges them. Addresses that no block here
 * owns are not mapped, and fault.
 */
#include <string.h>

#include "machine.h"

typedef struct {
    uint32_t base;
    ReadRegister *read;
    WriteRegister *write;
    int8_t read_wait, write_wait;
    bool aliases;      /* +0x1000 XOR, +0x2000 set, +0x3000 clear (2.1.2) */
    int8_t reset_bit;  /* in RESETS; -1: none, or not held here */
} BlockInfo;

static const BlockInfo infos[BANKS] = {
    {0x14000000u, storage_read, storage_write, 0, 0, true, -1},    /* XIP_CTRL */
    {0x18000000u, ssi_read, ssi_write, 2, 3, true, -1},            /* XIP_SSI */
    {0x40000000u, storage_read, read_only, 2, 3, true, -1},        /* SYSINFO */
    {0x40004000u, storage_read, storage_write, 2, 3, true, 18},    /* SYSCFG */
    {0x40008000u, clocks_read, clocks_write, 2, 3, true, -1},
    {0x4000c000u, resets_read, resets_write, 2, 3, true, -1},
    {0x40010000u, psm_read, psm_write, 2, 3, true, -1},
    {0x40014000u, storage_read, storage_write, 2, 3, true, 5},     /* IO_BANK0 */
    {0x40018000u, storage_read, storage_write, 2, 3, true, 6},     /* IO_QSPI */
    {0x4001c000u, storage_read, storage_write, 2, 3, true, 8},     /* PADS_BANK0 */
    {0x40020000u, storage_read, storage_write, 2, 3, true, 9},     /* PADS_QSPI */
    {0x40024000u, xosc_read, xosc_write, 2, 3, true, -1},
    {0x40028000u, pll_read, pll_write, 2, 3, true, RESET_PLL_SYS},
    {0x4002c000u, pll_read, pll_write, 2, 3, true, RESET_PLL_USB},
    {0x40030000u, storage_read, storage_write, 2, 3, true, 1},     /* BUSCTRL */
    {0x40034000u, uart_read, uart_write, 2, 3, true, RESET_UART0},
    {0x40054000u, timer_read, timer_write, 2, 3, true, RESET_TIMER},
    {0x40058000u, watchdog_read, watchdog_write, 2, 3, true, -1},
    {0x40060000u, rosc_read, storage_write, 2, 3, true, -1},
    {0x40064000u, storage_read, storage_write, 2, 3, true, -1},    /* VREG_AND_CHIP_RESET */
    {0xd0000000u, sio_read, sio_write, -1, -1, false, -1},
    {0xe000e000u, ppb_read, ppb_write, 0, 0, false, -1},           /* the core's own: SysTick, NVIC, SCB */
};

static Access access_make(const Window *window, uint32_t offset, uint64_t now)
{
    Machine *m = window->core->machine;
    uint32_t *regs = m->bank[window->index];
    return (Access){m, window->core, now, offset, regs, false};
}

static bool held(const Window *window)
{
    int8_t bit = infos[window->index].reset_bit;
    return bit >= 0 && in_reset(window->core->machine, (uint32_t)bit);
}

static uint64_t access_time(Core *core, const Wanted *wanted)
{
    return core_time(core, where(core, wanted), NULL);
}

static uint64_t on_read(uc_engine *uc, uint64_t offset, unsigned bytes, void *user)
{
    const Window *window = user;
    const BlockInfo *info = &infos[window->index];
    Core *core = window->core;
    uint32_t lane = (uint32_t)offset & 3u, value = 0;
    uint64_t now = access_time(core, &(Wanted){info->base + (uint32_t)offset, bytes, false});
    (void)uc;
    if (!held(window)) {
        Access at = access_make(window, (uint32_t)offset & 0xffcu, now);
        value = info->read(&at);
    }
    core->cycles = (uint64_t)((int64_t)core->cycles + info->read_wait);
    if (++core->polls > core->polls_needed && core->quiet < core->patience) core->quiet = core->patience;
    value >>= 8 * lane;
    return bytes == 4 ? value : value & ((1u << (8 * bytes)) - 1u);
}

/* The bus fabric copies a narrow write to all lanes (2.1.4). */
static uint32_t replicate(uint64_t value, unsigned bytes)
{
    if (bytes == 1) return ((uint32_t)value & 0xffu) * 0x01010101u;
    if (bytes == 2) return ((uint32_t)value & 0xffffu) * 0x00010001u;
    return (uint32_t)value;
}

static void on_write(uc_engine *uc, uint64_t offset, unsigned bytes, uint64_t wide, void *user)
{
    const Window *window = user;
    const BlockInfo *info = &infos[window->index];
    Core *core = window->core;
    uint32_t value = replicate(wide, bytes), alias = (uint32_t)offset >> 12 & 3u;
    uint64_t now = access_time(core, &(Wanted){info->base + (uint32_t)offset, bytes, true});
    (void)uc;
    core->cycles = (uint64_t)((int64_t)core->cycles + info->write_wait);
    if (held(window)) return;
    Access at = access_make(window, (uint32_t)offset & 0xffcu, now);
    if (info->aliases && alias) {
        at.peek = true;
        uint32_t old = info->read(&at);
        at.peek = false;
        value = alias == 1 ? old ^ value : alias == 2 ? old | value : old & ~value;
    }
    info->write(&at, value);
    effect(core);
}

uint32_t storage_read(const Access *at) { return at->regs[at->offset / 4]; }
void storage_write(const Access *at, uint32_t value) { at->regs[at->offset / 4] = value; }
void read_only(const Access *at, uint32_t value) { (void)at, (void)value; }

static uint32_t index_of(uint32_t base)
{
    uint32_t i = 0;
    while (i < BANKS - 1 && infos[i].base != base) i++;
    return i;
}

uint32_t *bus_bank(Machine *m, uint32_t base) { return m->bank[index_of(base)]; }

/* Reset values that are not zero; the blocks with code of their own set theirs. */
void bus_reset_bank(Machine *m, uint32_t base)
{
    uint32_t *regs = bus_bank(m, base);
    memset(regs, 0, sizeof m->bank[0]);
    switch (base) {
    case 0x14000000u: regs[0] = 3; regs[2] = 2; break;            /* XIP on; FLUSH ready */
    case 0x40000000u: regs[0] = 0x20002927u; regs[1] = 2; break;  /* CHIP_ID of stepping B2 (2.20); ASIC */
    case 0x40014000u: for (size_t i = 0; i < 30; i++) regs[2 * i + 1] = 0x1f; break; /* no function selected */
    case 0x40018000u: for (size_t i = 0; i < 6; i++) regs[2 * i + 1] = 0x1f; break;
    case 0x4001c000u: for (size_t i = 1; i < 31; i++) regs[i] = 0x56; break;
    case 0x40020000u: for (size_t i = 1; i < 7; i++) regs[i] = 0x56; break;
    case 0x40060000u: regs[0] = 0xaa0; regs[4] = 0xaa0; break;
    case 0x40064000u: regs[0] = 0x10b1; regs[1] = 0x91; regs[2] = 0x100; break;
    default: break;
    }
}

void bus_reset(Machine *m)
{
    for (size_t i = 0; i < BANKS; i++) bus_reset_bank(m, infos[i].base);
}

static uint32_t bytes_of(const BlockInfo *info) { return info->aliases ? 0x4000u : 0x1000u; }

/* Whether there is a block of registers at `address`. */
bool bus_owns(uint32_t address)
{
    for (size_t i = 0; i < BANKS; i++)
        if (address - infos[i].base < bytes_of(&infos[i])) return true;
    return false;
}

uc_err bus_map(Machine *m, Core *core)
{
    for (uint32_t i = 0; i < BANKS; i++) {
        Window *window = &m->window[core->index][i];
        *window = (Window){core, i};
        uint32_t bytes = bytes_of(&infos[i]);
        uc_err error = uc_mmio_map(core->uc, infos[i].base, bytes, on_read, window, on_write, window);
        if (error != UC_ERR_OK) return error;
    }
    return UC_ERR_OK;
}
