/* The cores' debug registers as a debug port reaches them (ARM DDI 0419, C1; ARMv8-M ARM, D1.2): halting, stepping, core
 * registers, vector catch, breakpoints. And the whole bus as the port's access to memory sees it.
 *
 * The host process calls these between two runs of the machine. A core that halts keeps its state; nothing else stops,
 * but time that only this core could move stands still.
 */
#include <string.h>

#include "machine.h"

enum { C_DEBUGEN = 1, C_HALT = 2, C_STEP = 4, C_BITS = 0xf };
enum { S_REGRDY = 1 << 16, S_HALT = 1 << 17, S_SLEEP = 1 << 18, S_LOCKUP = 1 << 19, S_RETIRE = 1 << 24, S_RESET = 1 << 25 };
enum { VC_CORERESET = 1, VC_HARDERR = 1 << 10 };
enum { FP_ENABLE = 1, FP_KEY = 2 };
#define DEBUG_KEY 0xa05fu
#define RESET_KEY 0x05fau
#define PPB 0xe000e000u
#define FPB 0xe0002000u

/* Offsets in PPB. */
enum { AIRCR = 0xd0c, DFSR = 0xd30, DHCSR = 0xdf0, DCRSR = 0xdf4, DCRDR = 0xdf8, DEMCR = 0xdfc };

bool machine_debug_read(Machine *m, uint32_t index, uint32_t address, uint32_t *value);
bool machine_debug_write(Machine *m, uint32_t index, uint32_t address, uint32_t value);
void machine_wrote(Machine *m, uint32_t address, uint32_t bytes);

bool debug_enabled(const Core *core) { return (core->debug.control & C_DEBUGEN) != 0; }

/* Stop the core where it is, for the reason `why` in DFSR. A core that sleeps wakes to halt. */
void debug_halt(Core *core, uint32_t why)
{
    core->debug.halted = true;
    core->debug.status |= why;
    core->debug.control |= C_HALT;
    if (core->state == CORE_WAITS_EVENT || core->state == CORE_WAITS_INTERRUPT) core->state = CORE_RUNS;
    effect(core);
}

/* The core has come out of reset. */
void debug_reset(Core *core)
{
    core->debug.was_reset = true;
    core->debug.halted = false;
    if (debug_enabled(core) && (core->debug.catches & VC_CORERESET)) debug_halt(core, DFSR_VCATCH);
    else core->debug.control &= ~(uint32_t)C_HALT;
}

/* The core is about to run a HardFault handler. */
void debug_faulted(Core *core)
{
    if (debug_enabled(core) && (core->debug.catches & VC_HARDERR)) debug_halt(core, DFSR_VCATCH);
}

static void go_on(Core *core)
{
    Machine *m = core->machine;
    core->debug.halted = false;
    core->debug.control &= ~(uint32_t)C_HALT;
    if (core->cycles < m->now) core->cycles = m->now;
    effect(core);
}

static void on_instruction(uc_engine *uc, uint64_t address, uint32_t bytes, void *user)
{
    Core *core = user;
    (void)address;
    (void)bytes;
    if (--core->single) return;
    core->stop = STOP_STEPPED;
    uc_emu_stop(uc);
}

/* One instruction: unicorn is made to ask before each, and may not begin the second. */
static void step(Core *core)
{
    Machine *m = core->machine;
    uc_hook hook;
    if (core->state != CORE_RUNS) return;
    if (uc_hook_add(core->uc, &hook, UC_HOOK_CODE, (void *)on_instruction, core, 1, 0) != UC_ERR_OK) return;
    m->written = true; /* what is translated does not ask */
    machine_flush(m);
    go_on(core);
    core->single = 2;
    core_run(core, NEVER);
    core->single = 0;
    uc_hook_del(core->uc, hook);
    m->written = true;
    if (!core->debug.halted) debug_halt(core, DFSR_HALTED);
}

static void control_write(Core *core, uint32_t value)
{
    if (value >> 16 != DEBUG_KEY) return;
    bool halted = core->debug.halted;
    core->debug.control = value & C_BITS;
    if (!(value & C_DEBUGEN)) {
        if (halted) go_on(core);
    } else if (value & C_HALT) {
        if (!halted && core->state != CORE_HELD) debug_halt(core, DFSR_HALTED);
    } else if (halted) {
        if (value & C_STEP) step(core);
        else go_on(core);
    }
}

static uint32_t control_read(Core *core)
{
    uint32_t value = (core->debug.control & C_BITS) | S_REGRDY | S_RETIRE;
    if (core->debug.halted) value |= S_HALT;
    else if (core->state == CORE_LOCKED) value |= S_LOCKUP; /* of a core that runs: debug state ends lockup */
    if (core->state == CORE_WAITS_EVENT || core->state == CORE_WAITS_INTERRUPT) value |= S_SLEEP;
    if (core->debug.was_reset) value |= S_RESET;
    core->debug.was_reset = false;
    return value;
}

enum { SELECT_PC = 15, SELECT_XPSR = 16, SELECT_MSP = 17, SELECT_PSP = 18, SELECT_SPECIAL = 20 };

/* unicorn's register behind REGSEL; -1 for one that is not modelled, which reads as zero. */
static int selected(uint32_t select)
{
    static const int registers[] = {
        UC_ARM_REG_R0, UC_ARM_REG_R1, UC_ARM_REG_R2, UC_ARM_REG_R3, UC_ARM_REG_R4, UC_ARM_REG_R5, UC_ARM_REG_R6,
        UC_ARM_REG_R7, UC_ARM_REG_R8, UC_ARM_REG_R9, UC_ARM_REG_R10, UC_ARM_REG_R11, UC_ARM_REG_R12, UC_ARM_REG_SP,
        UC_ARM_REG_LR, -1, UC_ARM_REG_XPSR, UC_ARM_REG_MSP, UC_ARM_REG_PSP,
    };
    return select < sizeof registers / sizeof *registers ? registers[select] : -1;
}

static void set_pc(Core *core, uint32_t value)
{
    core->pc = value & ~1u;
    core->fall = UINT32_MAX;
    core->penalty = 0;
    if (core->state == CORE_LOCKED) core->state = CORE_RUNS;
}

static void set_special(Core *core, uint32_t value)
{
    uint32_t primask = value & 1u, control = value >> 24 & 3u;
    uc_reg_write(core->uc, UC_ARM_REG_PRIMASK, &primask);
    uc_reg_write(core->uc, UC_ARM_REG_CONTROL, &control);
}

static uint32_t special(Core *core)
{
    uint32_t primask = 0, control = 0;
    uc_reg_read(core->uc, UC_ARM_REG_PRIMASK, &primask);
    uc_reg_read(core->uc, UC_ARM_REG_CONTROL, &control);
    return (primask & 1u) | (control & 3u) << 24;
}

/* DCRSR: between DCRDR and the register that it names; only of a halted core. */
static void transfer(Core *core, uint32_t order)
{
    uint32_t select = order & 0x7fu, value = 0;
    int id = selected(select);
    if (!core->debug.halted) return;
    if (order >> 16 & 1u) {
        if (select == SELECT_PC) set_pc(core, core->debug.data);
        else if (select == SELECT_SPECIAL) set_special(core, core->debug.data);
        else if (id >= 0) uc_reg_write(core->uc, id, &core->debug.data);
        return;
    }
    if (select == SELECT_PC) value = core->pc;
    else if (select == SELECT_SPECIAL) value = special(core);
    else if (id >= 0) uc_reg_read(core->uc, id, &value);
    core->debug.data = value;
}

/* ---- breakpoints --------------------------------------------------------------------------------------------- */

static void on_breakpoint(uc_engine *uc, uint64_t address, uint32_t bytes, void *user)
{
    Core *core = user;
    (void)address;
    (void)bytes;
    if (!debug_enabled(core) || core->single) return;
    core->stop = STOP_BREAKPOINT;
    uc_emu_stop(uc);
}

/* Where comparator `value` matches; 0 if it does not. Two formats: ARMv6-M's word and halves of it, ARMv8-M's address. */
static uint32_t matches(const Chip *chip, uint32_t value)
{
    if (!(value & 1u)) return 0;
    if (chip->breakpoints_v2) return value & ~1u;
    return (value & 0x1ffffffcu) | (value >> 30 == 2 ? 2u : 0);
}

static void breakpoints_update(Core *core)
{
    Debug *debug = &core->debug;
    for (uint32_t i = 0; i < BREAKPOINTS; i++) {
        uint32_t at = debug->unit & FP_ENABLE ? matches(core->machine->chip, debug->comparators[i]) : 0;
        if (at == debug->hooked[i]) continue;
        if (debug->hooked[i]) uc_hook_del(core->uc, debug->hooks[i]);
        debug->hooked[i] = 0;
        if (at && uc_hook_add(core->uc, &debug->hooks[i], UC_HOOK_CODE, (void *)on_breakpoint, core, at, at) == UC_ERR_OK)
            debug->hooked[i] = at;
        core->machine->written = true; /* what is translated already would not stop */
    }
}

static uint32_t unit_read(const Core *core, uint32_t offset)
{
    uint32_t revision = core->machine->chip->breakpoints_v2 ? 1u << 28 : 0;
    if (offset == 0) return revision | BREAKPOINTS << 4 | (core->debug.unit & FP_ENABLE);
    if (offset >= 8 && offset < 8 + 4 * BREAKPOINTS) return core->debug.comparators[(offset - 8) / 4];
    return 0;
}

static void unit_write(Core *core, uint32_t offset, uint32_t value)
{
    if (offset == 0 && (value & FP_KEY)) core->debug.unit = value & FP_ENABLE;
    if (offset >= 8 && offset < 8 + 4 * BREAKPOINTS) core->debug.comparators[(offset - 8) / 4] = value;
    breakpoints_update(core);
}

/* ---- what the debug port reads and writes -------------------------------------------------------------------- */

/* What only a debugger has to do with; `write` NULL: a read. False for any other register. */
static bool private_access(Core *core, uint32_t offset, uint32_t *read, const uint32_t *write)
{
    Debug *debug = &core->debug;
    switch (offset) {
    case DHCSR:
        if (write) control_write(core, *write);
        else *read = control_read(core);
        return true;
    case DCRSR:
        if (write) transfer(core, *write);
        else *read = 0;
        return true;
    case DCRDR:
        if (write) debug->data = *write;
        else *read = debug->data;
        return true;
    case DFSR:
        if (write) debug->status &= ~*write;
        else *read = debug->status;
        return true;
    default: return false;
    }
}

static const BlockInfo *block_at(const Machine *m, uint32_t address, uint32_t *index)
{
    const Chip *chip = m->chip;
    for (*index = 0; *index < chip->block_count; ++*index) {
        const BlockInfo *info = &chip->blocks[*index];
        if (address - info->base < (info->aliases ? 0x4000u : 0x1000u)) return info;
    }
    return NULL;
}

/* A word from the address `address`, as core `index` sees it, that is no memory. False: nobody answers there. */
bool machine_debug_read(Machine *m, uint32_t index, uint32_t address, uint32_t *value)
{
    Core *core = &m->core[index];
    uint32_t block = 0;
    if (address - FPB < 0x1000u) {
        *value = unit_read(core, address - FPB);
        return true;
    }
    if (address - PPB < 0x1000u && private_access(core, address - PPB, value, NULL)) return true;
    const BlockInfo *info = block_at(m, address, &block);
    if (!info) return false;
    Access at = {m, core, m->now, address & 0xffcu, m->bank[block], true};
    *value = info->read(&at);
    if (address == PPB + DEMCR) *value |= core->debug.catches;
    return true;
}

/* Likewise a word to it. A request for a reset is obeyed at once. */
bool machine_debug_write(Machine *m, uint32_t index, uint32_t address, uint32_t value)
{
    Core *core = &m->core[index];
    uint32_t block = 0;
    if (address - FPB < 0x1000u) {
        unit_write(core, address - FPB, value);
        return true;
    }
    if (address - PPB < 0x1000u && private_access(core, address - PPB, NULL, &value)) return true;
    const BlockInfo *info = block_at(m, address, &block);
    if (!info) return flash_store(m, address, 4, value);
    Access at = {m, core, m->now, address & 0xffcu, m->bank[block], true};
    uint32_t alias = info->aliases ? address >> 12 & 3u : 0;
    if (alias) {
        uint32_t old = info->read(&at);
        value = alias == 1 ? old ^ value : alias == 2 ? old | value : old & ~value;
    }
    at.peek = false;
    if (address == PPB + DEMCR) core->debug.catches = value & (VC_CORERESET | VC_HARDERR);
    info->write(&at, value);
    effect(core);
    if (address == PPB + AIRCR && m->restart) machine_restart(m);
    return true;
}

/* Flash has other bytes from `offset`: what was translated from there is stale. */
void debug_changed(Machine *m, uint32_t offset, uint32_t bytes)
{
    for (uint32_t i = 0; i < m->chip->cores; i++) {
        Core *core = &m->core[i];
        effect(core);
        for (uint32_t at = offset / FLASH_PAGE; at * FLASH_PAGE < offset + bytes; at++)
            m->written = m->written || core->flash_pages[at];
    }
}

/* The host has written to RAM or flash, at an address where that is. */
void machine_wrote(Machine *m, uint32_t address, uint32_t bytes)
{
    if (address - RAM_BASE >= m->chip->ram_bytes) {
        debug_changed(m, address - m->chip->flash_at[0], bytes);
        return;
    }
    for (uint32_t i = 0; i < m->chip->cores; i++) {
        Core *core = &m->core[i];
        effect(core);
        for (uint32_t at = (address - RAM_BASE) / CODE_PAGE; at * CODE_PAGE < address - RAM_BASE + bytes; at++)
            m->written = m->written || core->code_pages[at];
    }
}
