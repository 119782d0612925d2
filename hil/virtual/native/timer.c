/* TIMER (4.6), WATCHDOG (4.7) and the microsecond tick that both count. */
#include "machine.h"

#define WATCHDOG 0x40058000u

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
    uint64_t count = counter_at(&m->timer, at->now);
    alarms(m, count);
    switch (at->offset) {
    case 0x08: return m->timer_high; /* TIMEHR: as it was when TIMELR was read (4.6.2) */
    case 0x0c:
        if (!at->peek) m->timer_high = (uint32_t)(count >> 32);
        break;
    case 0x10: case 0x14: case 0x18: case 0x1c: return m->alarm[at->offset / 4 - 4];
    case 0x20: case 0x24: case 0x28: case 0x34: case 0x40: break;
    default: return at->regs[at->offset / 4];
    }
    stable_until(at->core, counter_when(&m->timer, count + 1));
    switch (at->offset) {
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
    uint64_t count = counter_at(&m->timer, at->now);
    alarms(m, count);
    switch (at->offset) {
    case 0x00: counter_set(&m->timer, at->now, (uint64_t)value << 32 | m->timer_write_low); break;
    case 0x04: m->timer_write_low = value; break;
    case 0x10: case 0x14: case 0x18: case 0x1c:
        m->alarm[at->offset / 4 - 4] = value;
        m->armed |= 1u << (at->offset / 4 - 4);
        break;
    case 0x20: m->armed &= ~value; break;
    case 0x34: m->alarm_raised &= ~value; break;
    default: at->regs[at->offset / 4] = value; break;
    }
    if (at->offset == 0x30) clocks_update(m, at->now);
}

void timer_reset(Machine *m)
{
    bus_reset_bank(m, 0x40054000u);
    counter_set(&m->timer, m->timer.base, 0);
    m->timer_high = m->timer_write_low = m->armed = m->alarm_raised = 0;
}

/* CTRL.TIME; the counter falls by two a tick (erratum RP2040-E1). */
static uint32_t watchdog_left(Machine *m, uint64_t cycle)
{
    if (m->watchdog_end == NEVER) return bus_bank(m, WATCHDOG)[1] & 0xffffffu;
    uint64_t count = counter_at(&m->watchdog, cycle);
    return count >= m->watchdog_end ? 0 : (uint32_t)(m->watchdog_end - count) * 2u;
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
    case 0x2c: return (tick & 0x3ffu) | (m->tick.num ? 0x400u : 0);
    default: return at->regs[at->offset / 4];
    }
}

static void watchdog_load(const Access *at)
{
    Machine *m = at->m;
    bool on = (at->regs[0] & 0x40000000u) != 0;
    uint64_t ticks = ((at->regs[1] & 0xffffffu) + 1u) / 2u;
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
    uint32_t *regs = bus_bank(m, WATCHDOG);
    regs[0] = 0x07000000u;
    regs[1] = 0;
    regs[0x2c / 4] = 0x200;
    m->watchdog_end = NEVER;
    counter_set(&m->watchdog, m->now, 0);
}
