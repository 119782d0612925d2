/* The core's own registers (2.4.8; ARM DDI 0419 B3): SysTick counts, VTOR and AIRCR act, NVIC is storage. */
#include "machine.h"

enum { CSR = 0x010, RVR = 0x014, CVR = 0x018, CALIB = 0x01c, ISER = 0x100, ICER = 0x180, ISPR = 0x200, ICPR = 0x280,
       CPUID = 0xd00, ICSR = 0xd04, VTOR = 0xd08, AIRCR = 0xd0c, CCR = 0xd14, CFSR = 0xd28, HFSR = 0xd2c, MPU_TYPE = 0xd90, DEMCR = 0xdfc };

/* SysTick's own time: processor cycles, or microsecond ticks when CLKSOURCE is 0. */
static uint64_t tick_time(const Access *at)
{
    const SysTick *tick = &at->core->systick;
    if (tick->control & 4u || !at->m->timer.num) return at->now;
    return counter_at(&at->m->timer, at->now);
}

static uint32_t tick_value(const SysTick *tick, uint64_t time)
{
    if (!(tick->control & 1u) || time <= tick->base) return tick->value;
    uint64_t passed = time - tick->base;
    if (passed <= tick->value) return tick->value - (uint32_t)passed;
    return tick->reload - (uint32_t)((passed - tick->value - 1) % ((uint64_t)tick->reload + 1));
}

/* How often the count went from 1 to 0 since base. */
static uint64_t tick_zeros(const SysTick *tick, uint64_t time)
{
    if (!(tick->control & 1u) || time <= tick->base) return 0;
    uint64_t passed = time - tick->base, period = (uint64_t)tick->reload + 1;
    if (!tick->reload) return tick->value && passed >= tick->value ? 1 : 0;
    if (tick->value) return passed < tick->value ? 0 : 1 + (passed - tick->value) / period;
    return passed / period;
}

static void tick_rebase(SysTick *tick, uint64_t time)
{
    tick->value = tick_value(tick, time);
    tick->base = time;
    tick->seen = 0;
}

static uint32_t tick_control(const Access *at)
{
    SysTick *tick = &at->core->systick;
    uint64_t zeros = tick_zeros(tick, tick_time(at));
    uint32_t flag = zeros > tick->seen ? 0x10000u : 0;
    if (tick->control & 1u) stable_until(at->core, 0);
    if (at->peek) return tick->control | flag;
    if (flag) effect(at->core);
    tick->seen = zeros;
    return tick->control | flag;
}

uint32_t ppb_read(const Access *at)
{
    Core *core = at->core;
    switch (at->offset) {
    case CSR: return tick_control(at);
    case RVR: return core->systick.reload;
    case CVR:
        if (core->systick.control & 1u) stable_until(core, 0); /* it moves: no loop that reads it may be skipped */
        return tick_value(&core->systick, tick_time(at));
    case CALIB: return 0xc0000000u | 9999u;
    case ICER: return core->ppb[ISER / 4];
    case ICPR: return core->ppb[ISPR / 4];
    case CPUID: return at->m->chip->cpuid;
    case ICSR: return exception_number(core);
    case VTOR: return core->vtor;
    case AIRCR: return 0xfa050000u;
    case CCR: return 0x208u;
    case MPU_TYPE: return 0x800u;
    default: return core->ppb[at->offset / 4];
    }
}

static void enable_lines(const Access *at, uint32_t lines)
{
    at->core->ppb[ISER / 4] |= lines;
    if (lines) note(at->m, NOTE_INTERRUPTS, at->core->index, at->core->pc, lines);
}

static void aircr_write(const Access *at, uint32_t value)
{
    if (value >> 16 != 0x05fau || !(value & 4u)) return;
    at->m->restart = true;
    at->m->reason = 0;
    at->core->budget = 0;
}

static uint32_t counter_value(const Access *at)
{
    const CycleCounter *counter = &at->core->counter;
    bool runs = (counter->control & 1u) && (at->core->ppb[DEMCR / 4] >> 24 & 1u);
    return counter->value + (runs ? (uint32_t)(at->now - counter->base) : 0);
}

/* Counts anew from here: its control is about to change. */
static void counter_stop(const Access *at)
{
    at->core->counter.value = counter_value(at);
    at->core->counter.base = at->now;
}

/* DWT: CYCCNT alone counts; the comparators are storage. */
uint32_t dwt_read(const Access *at)
{
    if (at->offset == 0) return 0x40000000u | at->core->counter.control;
    if (at->offset != 4) return at->regs[at->offset / 4];
    stable_until(at->core, 0);
    return counter_value(at);
}

void dwt_write(const Access *at, uint32_t value)
{
    CycleCounter *counter = &at->core->counter;
    if (at->offset > 4) at->regs[at->offset / 4] = value;
    else counter_stop(at);
    if (at->offset == 0) counter->control = value & 1u;
    if (at->offset == 4) counter->value = value;
}

void ppb_write(const Access *at, uint32_t value)
{
    SysTick *tick = &at->core->systick;
    switch (at->offset) {
    case CSR:
        tick_rebase(tick, tick_time(at));
        tick->control = value & 7u;
        tick->base = tick_time(at);
        if (value & 2u) note(at->m, NOTE_INTERRUPTS, at->core->index, at->core->pc, 0);
        break;
    case RVR:
        tick_rebase(tick, tick_time(at));
        tick->reload = value & 0xffffffu;
        break;
    case CVR:
        tick->base = tick_time(at);
        tick->value = 0;
        tick->seen = 0;
        break;
    case ISER: enable_lines(at, value); break;
    case ICER: at->core->ppb[ISER / 4] &= ~value; break;
    case ISPR: at->core->ppb[ISPR / 4] |= value; break;
    case ICPR: at->core->ppb[ISPR / 4] &= ~value; break;
    case VTOR: at->core->vtor = value & at->m->chip->vtor_mask; break;
    case AIRCR: aircr_write(at, value); break;
    case CFSR: case HFSR: at->core->ppb[at->offset / 4] &= ~value; break;
    case DEMCR:
        counter_stop(at);
        at->core->ppb[DEMCR / 4] = value;
        break;
    default: at->core->ppb[at->offset / 4] = value; break;
    }
}

void systick_reset(Core *core)
{
    core->systick = (SysTick){0};
    core->vtor = 0;
}
