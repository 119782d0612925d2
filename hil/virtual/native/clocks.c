/* Where clk_sys, clk_ref, clk_peri and the tick come from: ROSC, XOSC, PLLs, CLOCKS, and RESETS and PSM beside them.
 *
 * Frequencies follow from the registers at once; a PLL locks at once if its settings are legal (2.18.2.1). The crystal
 * takes the start-up delay that software programmed. ROSC runs at its nominal frequency whatever its trim.
 */
#include "machine.h"

enum { XOSC_HZ = 12000000 };

static const Rate stopped = {0, 1};

static bool xosc_on(Machine *m) { return (bus_bank(m, BLOCK_XOSC)[0] >> 12 & 0xfffu) == 0xfabu; }

static Rate xosc(Machine *m, uint64_t cycle)
{
    return xosc_on(m) && cycle >= m->xosc_stable ? rate_make(XOSC_HZ, 1) : stopped;
}

static bool pll_locked(Machine *m, const uint32_t *pll, uint64_t cycle)
{
    uint64_t divider = pll[0] & 0x3fu, feedback = pll[2] & 0xfffu;
    if ((pll[1] & 0x21u) || !divider || feedback < 16 || feedback > 320 || !xosc(m, cycle).num) return false;
    uint64_t vco = XOSC_HZ / divider * feedback;
    return XOSC_HZ / divider >= 5000000u && vco >= 750000000u && vco <= 1600000000u;
}

static Rate pll(Machine *m, BlockName name, uint64_t cycle)
{
    const uint32_t *regs = bus_bank(m, name);
    uint64_t post = (uint64_t)(regs[3] >> 16 & 7u) * (regs[3] >> 12 & 7u);
    if (bus_in_reset(m, name)) return stopped;
    if (regs[0] & 0x100u) return xosc(m, cycle); /* bypass */
    if (!pll_locked(m, regs, cycle) || (regs[1] & 8u) || !post) return stopped;
    return rate_make((uint64_t)XOSC_HZ * (regs[2] & 0xfffu), (regs[0] & 0x3fu) * post);
}

static Rate pll_sys(Machine *m, uint64_t cycle) { return pll(m, BLOCK_PLL_SYS, cycle); }
static Rate pll_usb(Machine *m, uint64_t cycle) { return pll(m, BLOCK_PLL_USB, cycle); }

static Rate reference_clock(Machine *m, const uint32_t *regs, uint64_t cycle)
{
    uint32_t most = m->chip->ref_divisions, control = regs[0x30 / 4];
    uint32_t divider = regs[0x34 / 4] >> m->chip->divider_bits & (most - 1u);
    Rate source = rate_make(m->chip->rosc_hz, 1);
    if ((control & 3u) == 1) source = (control >> 5 & 3u) == 0 ? pll_usb(m, cycle) : stopped;
    if ((control & 3u) == 2) source = xosc(m, cycle);
    return rate_divide(source, divider ? divider : most, 1);
}

static Rate system_clock(Machine *m, const uint32_t *regs, uint64_t cycle)
{
    uint32_t control = regs[0x3c / 4], bits = m->chip->divider_bits;
    uint64_t divider = regs[0x40 / 4];
    Rate source = m->ref;
    if (control & 1u) {
        switch (control >> 5 & 7u) {
        case 0: source = pll_sys(m, cycle); break;
        case 1: source = pll_usb(m, cycle); break;
        case 2: source = rate_make(m->chip->rosc_hz, 1); break;
        case 3: source = xosc(m, cycle); break;
        default: source = stopped; break; /* GPIN0, GPIN1: nothing is connected */
        }
    }
    if (!(divider >> bits)) divider |= 1ull << (16u + bits); /* 0 divides by 2^16 (2.15.7) */
    return rate_divide(source, divider, 1ull << bits);
}

static Rate peripheral_source(Machine *m, const uint32_t *regs, uint64_t cycle)
{
    uint32_t control = regs[0x48 / 4];
    if (!(control & 0x800u) || (control & 0x400u)) return stopped;
    switch (control >> 5 & 7u) {
    case 0: return m->sys;
    case 1: return pll_sys(m, cycle);
    case 2: return pll_usb(m, cycle);
    case 3: return rate_make(m->chip->rosc_hz, 1);
    case 4: return xosc(m, cycle);
    default: return stopped;
    }
}

/* RP2350 divides clk_peri by 1 to 4 (its data sheet, 8.1); RP2040 has no register there, and reads as 1. */
static Rate peripheral_clock(Machine *m, const uint32_t *regs, uint64_t cycle)
{
    uint32_t divider = regs[0x4c / 4] >> 16 & 3u;
    if (m->chip->divider_bits < 16) divider = 1;
    return rate_divide(peripheral_source(m, regs, cycle), divider ? divider : 4, 1);
}

/* The ticks of TIMER0 and of the watchdog: both WATCHDOG_TICK (4.7.2), or generators of TICKS (RP2350, 8.5). */
static void update_ticks(Machine *m)
{
    const uint32_t *ticks = bus_bank(m, BLOCK_TICKS), tick = bus_bank(m, BLOCK_WATCHDOG)[0x2c / 4];
    if (m->chip->has_ticks) {
        m->tick = ticks[6] & 1u && ticks[7] ? rate_divide(m->ref, ticks[7], 1) : stopped;
        m->watchdog_tick = ticks[12] & 1u && ticks[13] ? rate_divide(m->ref, ticks[13], 1) : stopped;
        return;
    }
    m->tick = tick & 0x200u && tick & 0x1ffu ? rate_divide(m->ref, tick & 0x1ffu, 1) : stopped;
    m->watchdog_tick = m->tick;
}

/* RP2040 and RP2350: every frequency from the registers. */
void rp2_rates(Machine *m, uint64_t cycle)
{
    const uint32_t *regs = bus_bank(m, BLOCK_CLOCKS), *timer = bus_bank(m, BLOCK_TIMER);
    m->ref = reference_clock(m, regs, cycle);
    m->sys = system_clock(m, regs, cycle);
    m->peri = peripheral_clock(m, regs, cycle);
    update_ticks(m);
    bool timer_on = !bus_in_reset(m, BLOCK_TIMER) && !(timer[TIMER_PAUSE / 4] & 1u);
    m->timer_tick = timer_on ? timer[TIMER_SOURCE / 4] & 1u ? m->sys : m->tick : stopped;
}

/* Let what counts go on at its new rate from `cycle`. */
void clocks_update(Machine *m, uint64_t cycle)
{
    m->chip->rates(m, cycle);
    counter_rate(&m->nanoseconds, cycle, rate_make(1000000000u, 1), m->sys);
    counter_rate(&m->timer, cycle, m->timer_tick, m->sys);
    counter_rate(&m->watchdog, cycle, m->watchdog_end == NEVER ? stopped : m->watchdog_tick, m->sys);
    uart_rate(m);
    network_clocks(m, cycle);
    spi_rate(m);
    if (m->sys.num) return;
    for (uint32_t i = 0; i < m->chip->cores; i++) {
        m->core[i].state = CORE_LOCKED;
        m->core[i].budget = 0;
    }
    note(m, NOTE_CLOCK_STOPPED, 0, 0, 0);
}

uint32_t clocks_read(const Access *at)
{
    uint32_t *regs = at->regs, source = 0;
    switch (at->offset) {
    case 0x38: source = regs[0x30 / 4] & 3u; return 1u << source;
    case 0x44: source = regs[0x3c / 4] & 1u; return 1u << source;
    case 0x08: case 0x14: case 0x20: case 0x2c: case 0x50: case 0x5c: case 0x68: case 0x74:
        return 1; /* no glitchless multiplexer: SELECTED is fixed */
    default: return regs[at->offset / 4];
    }
}

void clocks_write(const Access *at, uint32_t value)
{
    at->regs[at->offset / 4] = value;
    clocks_update(at->m, at->now);
}

uint32_t xosc_read(const Access *at)
{
    if (at->offset != 4) return at->regs[at->offset / 4];
    bool on = xosc_on(at->m), stable = on && at->now >= at->m->xosc_stable;
    if (on && !stable) stable_until(at->core, at->m->xosc_stable);
    return (stable ? 1u << 31 : 0) | (on ? 1u << 12 : 0);
}

/* STARTUP (2.16.7) counts crystal cycles / 256; the crystal is taken to swing at once, at its own frequency. */
void xosc_write(const Access *at, uint32_t value)
{
    Machine *m = at->m;
    bool was = xosc_on(m);
    at->regs[at->offset / 4] = value;
    if (at->offset == 0 && xosc_on(m) && !was) {
        Rate needed = rate_divide(m->sys, XOSC_HZ, (uint64_t)(at->regs[3] & 0x3fffu) * 256u);
        m->xosc_stable = at->now + (needed.num + needed.den - 1) / needed.den;
    }
    clocks_update(m, at->now);
}

uint32_t rosc_read(const Access *at)
{
    Machine *m = at->m;
    if (at->offset == 0x18) return 1u << 31 | 1u << 12; /* STABLE, ENABLED */
    if (at->offset != 0x1c) return at->regs[at->offset / 4];
    if (at->peek) return m->rosc_state & 1u;
    m->rosc_state ^= m->rosc_state << 13; /* RANDOMBIT: the same bits in every run, by intent */
    m->rosc_state ^= m->rosc_state >> 17;
    m->rosc_state ^= m->rosc_state << 5;
    effect(at->core);
    return m->rosc_state & 1u;
}

uint32_t pll_read(const Access *at)
{
    uint32_t value = at->regs[at->offset / 4];
    if (at->offset != 0) return value;
    if (!pll_locked(at->m, at->regs, at->now)) {
        stable_until(at->core, at->m->xosc_stable > at->now ? at->m->xosc_stable : NEVER);
        return value & 0x13fu;
    }
    return (value & 0x13fu) | 1u << 31;
}

void pll_write(const Access *at, uint32_t value)
{
    at->regs[at->offset / 4] = value;
    clocks_update(at->m, at->now);
}

uint32_t resets_read(const Access *at)
{
    if (at->offset == 0) return at->m->resets;
    if (at->offset == 8) return ~at->m->resets & at->m->chip->resets_all;
    return at->regs[at->offset / 4];
}

void resets_write(const Access *at, uint32_t value)
{
    Machine *m = at->m;
    const Chip *chip = m->chip;
    at->regs[at->offset / 4] = value;
    if (at->offset != 0) return;
    uint32_t newly = value & ~m->resets & chip->resets_all;
    uart_sync(m, at->now);
    spi_sync(m, at->now);
    m->resets = value & chip->resets_all;
    for (uint32_t i = 0; i < chip->block_count; i++) {
        const BlockInfo *block = &chip->blocks[i];
        if (block->reset_bit < 0 || !(newly >> block->reset_bit & 1u)) continue;
        bus_reset_block(m, i);
        if (block->name == BLOCK_TIMER) timer_reset(m);
        if (block->name == BLOCK_UART) uart_reset(m, 0);
        if (block->name == BLOCK_UART1) uart_reset(m, 1);
        if (block->name == BLOCK_SPI) spi_reset(m);
    }
    clocks_update(m, at->now);
}

uint32_t psm_read(const Access *at)
{
    if (at->offset == 0xc) return ~at->m->psm_off & at->m->chip->psm_all; /* DONE */
    return at->regs[at->offset / 4];
}

/* One bit of FRCE_OFF holds core 1; clearing it starts core 1 in the ROM again (2.13). */
void psm_write(const Access *at, uint32_t value)
{
    Machine *m = at->m;
    Core *other = &m->core[1];
    at->regs[at->offset / 4] = value;
    if (at->offset != 4) return;
    bool was = m->psm_off >> m->chip->psm_core1 & 1u, is = value >> m->chip->psm_core1 & 1u;
    m->psm_off = value & m->chip->psm_all;
    if (at->core == other || was == is) return;
    at->core->budget = 0;
    if (at->now > m->now) m->now = at->now;
    if (is) other->state = CORE_HELD;
    else core_reset(other);
}

void clocks_reset(Machine *m)
{
    m->xosc_stable = 0;
    m->resets = m->chip->resets_all;
    m->psm_off = 0;
    m->rosc_state = 0x2545f491u;
    clocks_update(m, m->now);
}
