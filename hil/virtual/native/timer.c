/* TIMER (4.6), WATCHDOG (4.7) and the microsecond tick that both count. */
#include "machine.h"

/* RP2350 put LOCKED and SOURCE before the interrupts (its data sheet, 12.8.5): registers as RP2040 numbers them. */
static uint32_t timer_register(const Access *at)
{
    if (!at->m->chip->has_ticks || at->offset < 0x34) return at->offset;
    if (at->offset >= 0x3c) return at->offset - 8u;
    return at->offset == 0x34 ? TIMER_LOCKED : TIMER_SOURCE;
}

static uint32_t alarms(Machine *m, uint64_t count)
{
    uint32_t low = (uint32_t)count;
    for (uint32_t i = 0; i < 4; i++) {
        if (!(m->armed >> i & 1u) || (int32_t)(low - m->alarm[i]) < 0) continue;
        m->armed &= ~(1u << i);
        m->alarm_raised |= 1u << i;
    }
    return m->alarm_raised;
}

uint32_t timer_read(const Access *at)
{
    Machine *m = at->m;
    uint32_t which = timer_register(at);
    uint64_t count = counter_at(&m->timer, at->now);
    alarms(m, count);
    switch (which) {
    case 0x08: return m->timer_high; /* TIMEHR: as it was when TIMELR was read (4.6.2) */
    case 0x0c:
        if (!at->peek) m->timer_high = (uint32_t)(count >> 32);
        break;
    case 0x10: case 0x14: case 0x18: case 0x1c: return m->alarm[which / 4 - 4];
    case 0x20: case 0x24: case 0x28: case 0x34: case 0x40: break;
    default: return at->regs[which / 4];
    }
    stable_until(at->core, counter_when(&m->timer, count + 1));
    switch (which) {
    case 0x0c: case 0x28: return (uint32_t)count;
    case 0x20: return m->armed;
    case 0x24: return (uint32_t)(count >> 32);
    case 0x34: return m->alarm_raised;
    default: return (m->alarm_raised | at->regs[0x3c / 4]) & at->regs[0x38 / 4]; /* INTS */
    }
}

void timer_write(const Access *at, uint32_t value)
{
    Machine *m = at->m;
    uint32_t which = timer_register(at);
    uint64_t count = counter_at(&m->timer, at->now);
    alarms(m, count);
    switch (which) {
    case 0x00: counter_set(&m->timer, at->now, (uint64_t)value << 32 | m->timer_write_low); break;
    case 0x04: m->timer_write_low = value; break;
    case 0x10: case 0x14: case 0x18: case 0x1c:
        m->alarm[which / 4 - 4] = value;
        m->armed |= 1u << (which / 4 - 4);
        break;
    case 0x20: m->armed &= ~value; break;
    case 0x34: m->alarm_raised &= ~value; break;
    default: at->regs[which / 4] = value; break;
    }
    if (which == TIMER_PAUSE || which == TIMER_SOURCE) clocks_update(m, at->now);
}

void timer_reset(Machine *m)
{
    counter_set(&m->timer, m->timer.base, 0);
    m->timer_high = m->timer_write_low = m->armed = m->alarm_raised = 0;
}

/* CTRL.TIME; RP2040's counter falls by two a tick (erratum RP2040-E1). */
static uint32_t watchdog_step(const Machine *m) { return m->chip->watchdog_by_two ? 2u : 1u; }

static uint32_t watchdog_left(Machine *m, uint64_t cycle)
{
    if (m->watchdog_end == NEVER) return bus_bank(m, BLOCK_WATCHDOG)[1] & 0xffffffu;
    uint64_t count = counter_at(&m->watchdog, cycle);
    return count >= m->watchdog_end ? 0 : (uint32_t)(m->watchdog_end - count) * watchdog_step(m);
}

uint32_t watchdog_read(const Access *at)
{
    Machine *m = at->m;
    uint32_t tick = at->regs[0x2c / 4];
    switch (at->offset) {
    case 0x00:
        if (m->watchdog_end != NEVER)
            stable_until(at->core, counter_when(&m->watchdog, counter_at(&m->watchdog, at->now) + 1));
        return (at->regs[0] & 0x47000000u) | watchdog_left(m, at->now);
    case 0x04: return 0;
    case 0x08: return m->reason;
    case 0x2c: return m->chip->has_ticks ? 0 : (tick & 0x3ffu) | (m->tick.num ? 0x400u : 0);
    default: return at->regs[at->offset / 4];
    }
}

static void watchdog_load(const Access *at)
{
    Machine *m = at->m;
    bool on = (at->regs[0] & 0x40000000u) != 0;
    uint64_t step = watchdog_step(m), ticks = ((at->regs[1] & 0xffffffu) + step - 1u) / step;
    m->watchdog_end = on ? ticks : NEVER;
    counter_set(&m->watchdog, at->now, 0);
    clocks_update(m, at->now);
    at->core->budget = 0; /* the run's end depends on it */
}

void watchdog_write(const Access *at, uint32_t value)
{
    Machine *m = at->m;
    if (at->offset == 0x08) return;
    at->regs[at->offset / 4] = value;
    if (at->offset == 0x00 && value & 0x80000000u) {
        m->restart = true;
        m->reason = 2;
        at->core->budget = 0;
        return;
    }
    if (at->offset == 0x00 || at->offset == 0x04) watchdog_load(at);
    if (at->offset == 0x2c) clocks_update(m, at->now);
}

void watchdog_reset(Machine *m)
{
    uint32_t *regs = bus_bank(m, BLOCK_WATCHDOG);
    regs[0] = 0x07000000u;
    regs[1] = 0;
    regs[0x2c / 4] = m->chip->has_ticks ? 0 : 0x200;
    m->watchdog_end = NEVER;
    counter_set(&m->watchdog, m->now, 0);
}

/* TICKS (RP2350, 8.5): six generators of CTRL, CYCLES, COUNT. */
uint32_t ticks_read(const Access *at)
{
    uint32_t value = at->regs[at->offset / 4];
    if (at->offset % 12u == 0) return (value & 1u) | (value & 1u && at->regs[at->offset / 4 + 1] ? 2u : 0);
    return at->offset % 12u == 4 ? value & 0x1ffu : 0;
}

void ticks_write(const Access *at, uint32_t value)
{
    at->regs[at->offset / 4] = value & 0x1ffu;
    clocks_update(at->m, at->now);
}
