/* Polling loops, skipped exactly.
 *
 * A loop that stored nothing, changed no device, and came back to the same place with every register the same will do
 * so again until something outside the core changes. Whole periods up to that moment are added at once; the last
 * period before it is left to run, so that cycles and instructions come out as if nothing had been skipped.
 * A loop is looked for when a core has polled devices often, or has run long, without a store; the more often that
 * was in vain since the last store, the longer it is put off, so that arithmetic loops cost nothing.
 */
#include <string.h>

#include "machine.h"

enum { WINDOW = 64, PATIENCE = 64, PATIENCE_MAX = 1 << 14, POLLS = 8, POLLS_MAX = 1 << 10 };

static const int snap_ids[SNAP] = {
    UC_ARM_REG_R0, UC_ARM_REG_R1, UC_ARM_REG_R2, UC_ARM_REG_R3, UC_ARM_REG_R4, UC_ARM_REG_R5,
    UC_ARM_REG_R6, UC_ARM_REG_R7, UC_ARM_REG_R8, UC_ARM_REG_R9, UC_ARM_REG_R10, UC_ARM_REG_R11,
    UC_ARM_REG_R12, UC_ARM_REG_SP, UC_ARM_REG_LR, UC_ARM_REG_XPSR, UC_ARM_REG_PRIMASK,
};

static void snap(Core *core, uint32_t to[SNAP])
{
    int ids[SNAP];
    void *values[SNAP];
    memcpy(ids, snap_ids, sizeof ids);
    for (size_t i = 0; i < SNAP; i++) {
        to[i] = 0;
        values[i] = &to[i];
    }
    uc_reg_read_batch(core->uc, ids, values, SNAP);
}

static void give_up(Core *core)
{
    core->have = false;
    core->quiet = 0;
    core->polls = 0;
    if (core->patience < PATIENCE_MAX) core->patience *= 2;
    if (core->polls_needed < POLLS_MAX) core->polls_needed *= 2;
}

static void begin(Core *core, uint32_t pc)
{
    snap(core, core->snap);
    core->have = true;
    core->window = 0;
    core->snap_pc = pc;
    core->snap_cycles = core->cycles;
    core->snap_instructions = core->instructions;
    core->stable = NEVER;
}

/* The loop is proven. True if the core has nothing more to do in this run. */
static bool skip(Core *core)
{
    Machine *m = core->machine;
    uint64_t period = core->cycles - core->snap_cycles;
    uint64_t event = next_event(m, core->cycles);
    uint64_t until = event < core->stable ? event : core->stable;
    core->have = false;
    core->patience = PATIENCE;
    core->polls_needed = POLLS;
    core->quiet = PATIENCE; /* the next block starts a new proof */
    core->spun = true;
    core->spun_stable = until;
    core->spun_effects = m->core[0].effects + m->core[1].effects;
    bool alone = !core_runs(&m->core[1 - core->index]);
    if (alone && until == NEVER && !m->passing) {
        core->stop = STOP_IDLE;
        return true;
    }
    if (core->budget < until) until = core->budget;
    if (until > core->cycles + 2 * period) {
        uint64_t times = (until - core->cycles) / period - 1;
        core->instructions += times * (core->instructions - core->snap_instructions);
        core->cycles += times * period;
    }
    return false;
}

/* Called in the block hook once the core has been quiet for `patience` blocks. True: stop here. */
bool spin_step(Core *core, uint32_t pc)
{
    if (core->machine->no_skip) {
        core->quiet = 0;
        return false;
    }
    if (!core->have) {
        begin(core, pc);
        return false;
    }
    if (pc != core->snap_pc) {
        if (++core->window > WINDOW) give_up(core);
        return false;
    }
    uint32_t now[SNAP];
    snap(core, now);
    if (core->cycles == core->snap_cycles || memcmp(now, core->snap, sizeof now) != 0) {
        give_up(core);
        return false;
    }
    return skip(core);
}
