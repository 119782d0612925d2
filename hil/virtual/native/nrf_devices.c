/* Devices of the nRF52840 that firmware needs to start and to tell time, and its flash controller. Section numbers: nRF52840
 * Product Specification.
 *
 * CLOCK (5.4): the CPU runs at 64 MHz whatever HFCLK comes from; the crystal is stable 0.36 ms after it was asked for. The
 * low-frequency clock is storage, and so is POWER beside it. TIMER0 (6.30): counting, capturing; a timer that counts events,
 * compares and shortcuts are not modelled. NVMC (4.3): no operation takes time, READY is always 1.
 */
#include <string.h>

#include "machine.h"

enum { HFCLK_HZ = 16000000, CPU_HZ = 64000000, CRYSTAL_CYCLES = CPU_HZ / 1000000 * 360 };
enum { HFCLKSTART = 0x000, HFCLKSTOP = 0x004, HFCLKSTARTED = 0x100, HFCLKRUN = 0x408, HFCLKSTAT = 0x40c };

static const Rate stopped = {0, 1};

void nrf_rates(Machine *m, uint64_t cycle)
{
    const uint32_t *timer = bus_bank(m, BLOCK_TIMER);
    (void)cycle;
    m->sys = rate_make(CPU_HZ, 1);
    m->ref = m->peri = rate_make(HFCLK_HZ, 1);
    m->tick = m->watchdog_tick = stopped;
    m->timer_tick = timer[0] ? rate_make(HFCLK_HZ, 1ull << (timer[0x510 / 4] & 15u)) : stopped;
}

/* ---- CLOCK: regs[HFCLKRUN] says whether the crystal was asked for -------------------------------------------- */

uint32_t nrf_clock_read(const Access *at)
{
    bool stable = at->regs[HFCLKRUN / 4] && at->now >= at->m->xosc_stable;
    if (at->offset < 0x100) return 0; /* tasks */
    if (at->offset != HFCLKSTARTED && at->offset != HFCLKSTAT) return at->regs[at->offset / 4];
    if (at->regs[HFCLKRUN / 4] && !stable) stable_until(at->core, at->m->xosc_stable);
    if (at->offset == HFCLKSTAT) return 1u << 16 | (stable ? 1u : 0); /* running, from the crystal */
    return stable && at->regs[HFCLKSTARTED / 4] ? 1u : 0;
}

void nrf_clock_write(const Access *at, uint32_t value)
{
    if (at->offset >= 0x100) {
        at->regs[at->offset / 4] = value;
    } else if (at->offset == HFCLKSTART && value & 1u) {
        if (!at->regs[HFCLKRUN / 4]) at->m->xosc_stable = at->now + CRYSTAL_CYCLES;
        at->regs[HFCLKRUN / 4] = at->regs[HFCLKSTARTED / 4] = 1;
    } else if (at->offset == HFCLKSTOP && value & 1u) {
        at->regs[HFCLKRUN / 4] = 0;
    }
}

/* ---- TIMER0: regs[START] says whether it runs ---------------------------------------------------------------- */

enum { START = 0x000, STOP = 0x004, CLEAR = 0x00c, SHUTDOWN = 0x010, CAPTURE = 0x040, CHANNELS = 6, MODE = 0x504,
       BITMODE = 0x508, PRESCALER = 0x510, CC = 0x540 };

static uint32_t timer_mask(const Access *at)
{
    static const uint32_t masks[4] = {0xffff, 0xff, 0xffffff, UINT32_MAX};
    return masks[at->regs[BITMODE / 4] & 3u];
}

uint32_t nrf_timer_read(const Access *at) { return at->offset < 0x100 ? 0 : at->regs[at->offset / 4]; }

static void timer_runs(const Access *at, bool on)
{
    at->regs[START / 4] = on && !(at->regs[MODE / 4] & 3u);
    clocks_update(at->m, at->now);
}

void nrf_timer_write(const Access *at, uint32_t value)
{
    uint32_t channel = (at->offset - CAPTURE) / 4;
    if (at->offset >= 0x100) {
        at->regs[at->offset / 4] = value;
        return;
    }
    if (!(value & 1u)) return;
    if (at->offset == START) timer_runs(at, true);
    if (at->offset == STOP || at->offset == SHUTDOWN) timer_runs(at, false);
    if (at->offset == CLEAR || at->offset == SHUTDOWN) counter_set(&at->m->timer, at->now, 0);
    if (at->offset >= CAPTURE && channel < CHANNELS)
        at->regs[CC / 4 + channel] = (uint32_t)counter_at(&at->m->timer, at->now) & timer_mask(at);
}

/* ---- NVMC, and UICR, which it erases too --------------------------------------------------------------------- */

enum { READY = 0x400, READYNEXT = 0x408, CONFIG = 0x504, ERASEPAGE = 0x508, ERASEALL = 0x50c, ERASEPCR0 = 0x510,
       ERASEUICR = 0x514 };
enum { WRITES = 1, ERASES = 2, PAGE = 4096 };

static uint32_t config(Machine *m) { return bus_bank(m, BLOCK_FLASH)[CONFIG / 4] & 3u; }

static bool open_to_stores(Machine *m) { return config(m) == WRITES; }

/* Whole words alone can be written. */
static void store(Machine *m, uint32_t offset, uint32_t bytes, uint32_t value)
{
    if (bytes == 4 && offset % 4u == 0) flash_and(m, offset, value, 4);
    else note(m, NOTE_FLASHER, 0, offset, bytes);
}

const StoredFlash flash_nvmc = {open_to_stores, store};

uint32_t nvmc_read(const Access *at)
{
    return at->offset == READY || at->offset == READYNEXT ? 1u : at->regs[at->offset / 4];
}

void nvmc_write(const Access *at, uint32_t value)
{
    Machine *m = at->m;
    bool page = at->offset == ERASEPAGE || at->offset == ERASEPCR0, all = at->offset == ERASEALL && value == 1;
    bool settings = all || (at->offset == ERASEUICR && value == 1);
    if (at->offset == CONFIG || at->offset > ERASEUICR) at->regs[at->offset / 4] = value;
    if (!page && !settings) return;
    if (config(m) != ERASES || (page && value >= m->chip->flash_bytes)) {
        note(m, NOTE_FLASHER, at->core->index, page ? value : 0, page ? PAGE : m->chip->flash_bytes);
        return;
    }
    if (page) flash_erase(m, value & ~(PAGE - 1u), PAGE);
    if (all) flash_erase(m, 0, m->chip->flash_bytes);
    if (settings) memset(m->settings, 0xff, sizeof m->settings);
    if (m->written) at->core->budget = 0; /* what was translated from flash is stale */
}

uint32_t uicr_read(const Access *at)
{
    return at->offset < sizeof at->m->settings ? at->m->settings[at->offset / 4] : UINT32_MAX;
}

void uicr_write(const Access *at, uint32_t value)
{
    bool there = at->offset < sizeof at->m->settings && open_to_stores(at->m);
    if (there) at->m->settings[at->offset / 4] &= value;
    else note(at->m, NOTE_FLASHER, at->core->index, at->offset, 4);
}
