/* One core: the block hook that counts, and a run up to a budget of cycles.
 *
 * The hook fires before a block runs. A block that is stopped in its hook has not run and is not charged, and its hook
 * fires again when the core goes on: so cutting a run into slices changes no count. Nothing may stop the core in the
 * middle of a block (unicorn would run the access again): a device that wants the core to stop sets its budget to 0.
 */
#include <string.h>

#include "machine.h"

/* Blocks without a store before a loop is looked for: beyond most inner loops of arithmetic. Devices have their own. */
enum { PATIENCE_AFTER_STORE = 1024, POLLS_AFTER_STORE = 8 };

#define IT_STATE 0x0600fc00u /* ICI and IT bits of xPSR (ARMv8-M ARM, B3.5) */

/* Where unicorn is told to end a run. It wants to be able to read code there; the last word of the ROM is none. */
static uint32_t nowhere(const Core *core) { return core->machine->chip->rom_at + core->machine->chip->rom_bytes - 2u; }

static void send_event(Machine *m, Core *from)
{
    for (uint32_t i = 0; i < CORES; i++) m->core[i].event = true;
    from->budget = 0; /* the other core may go on now */
    effect(from);
}

static void block_flags(Core *core, uint32_t flags)
{
    if (flags & BLOCK_STORES) {
        core->effects++;
        core->quiet = 0;
        core->polls = 0;
        core->have = false;
        core->patience = PATIENCE_AFTER_STORE;
        core->polls_needed = POLLS_AFTER_STORE;
    }
    if (flags & ~(uint32_t)BLOCK_STORES) {
        core->wait = (flags & BLOCK_WFE) != 0;
        core->yielded = (flags & BLOCK_YIELD) != 0;
        if (flags & BLOCK_SEV) send_event(core->machine, core);
    }
}

static void on_block(uc_engine *uc, uint64_t address, uint32_t bytes, void *user)
{
    Core *core = user;
    uint32_t pc = (uint32_t)address;
    if (pc != core->fall) core->cycles += core->penalty;
    core->penalty = 0;
    if (__builtin_expect(core->cycles >= core->budget, 0)) {
        core->stop = STOP_BUDGET;
        uc_emu_stop(uc);
        return;
    }
    if (__builtin_expect(++core->quiet > core->patience, 0) && spin_step(core, pc)) {
        uc_emu_stop(uc);
        return;
    }
    Block *block = &core->blocks[(pc >> 1) & ((1u << COST_BITS) - 1u)];
    if (__builtin_expect(block->pc != pc || block->bytes != bytes, 0)) cost_block(core->machine, block, pc, bytes);
    core->cycles += block->cycles;
    core->instructions += block->instructions;
    core->block = core->access = pc;
    core->fall = pc + bytes;
    core->penalty = block->penalty;
    core->flags = block->flags;
    if (block->flags) block_flags(core, block->flags);
}

/* unicorn 2.1 reports WFE and YIELD as invalid instructions, with PC already behind them. */
static bool on_invalid(uc_engine *uc, void *user)
{
    Core *core = user;
    if (core->yielded) {
        core->yielded = false;
        return true;
    }
    if (!core->wait) return false;
    core->wait = false;
    if (core->event) {
        core->event = false;
        effect(core);
        return true;
    }
    core->stop = STOP_WFE;
    uc_emu_stop(uc);
    return true;
}

static void on_trap(uc_engine *uc, uint32_t number, void *user)
{
    Core *core = user;
    core->trap = (int)number;
    core->stop = STOP_ERROR;
    uc_emu_stop(uc);
}

/* A block was translated anew, so its code may be new too. */
static void on_translated(uc_engine *uc, uc_tb *block, uc_tb *before, void *user)
{
    Core *core = user;
    (void)uc;
    (void)before;
    core->blocks[((uint32_t)block->pc >> 1) & ((1u << COST_BITS) - 1u)].pc = 1;
}

/* unicorn 2.1 finds out where it is before it asks for a translation, and then leaves it so: after an access in the middle
 * of an IT block, the block that runs next would begin in the middle of one too, and skip what it should run. */
static void forget_it_block(uc_engine *uc)
{
    uint32_t xpsr = 0;
    uc_reg_read(uc, UC_ARM_REG_XPSR, &xpsr);
    if (xpsr & IT_STATE) {
        xpsr &= ~IT_STATE;
        uc_reg_write(uc, UC_ARM_REG_XPSR, &xpsr);
    }
}

/* unicorn keeps every store to a page on its slow path for as long as code could be run from it, and takes all RAM to
 * be such. So translations come from here: a page of RAM is data until code is fetched from it. Faster by three. */
static bool on_translate(uc_engine *uc, uint64_t address, uc_mem_type type, uc_tlb_entry *entry, void *user)
{
    Core *core = user;
    uint32_t at = (uint32_t)address;
    if ((at ^ nowhere(core)) / CODE_PAGE) { /* there unicorn looks when a run has ended: that causes no fault */
        core->touched = at;
        core->touched_how = type;
    }
    entry->paddr = address;
    if (type != UC_MEM_FETCH) forget_it_block(uc); /* code may begin in the middle of one, at a page */
    if (at - RAM_BASE < core->machine->chip->ram_bytes) {
        uint8_t *code = &core->code_pages[(at - RAM_BASE) / CODE_PAGE];
        if (type == UC_MEM_FETCH) *code = 1;
        entry->perms = *code ? UC_PROT_ALL : UC_PROT_READ | UC_PROT_WRITE;
        return true;
    }
    const uint8_t *memory = memory_at(core->machine, at, 1, false), *flash = core->machine->flash;
    const StoredFlash *stored = core->machine->chip->stored_flash;
    if (memory) {
        bool in_flash = memory >= flash && memory < flash + core->machine->chip->flash_bytes;
        if (in_flash && type == UC_MEM_WRITE && stored && stored->open(core->machine)) {
            entry->paddr = SHADOW + (uint64_t)(memory - flash); /* until code is run from there: stored.c */
            entry->perms = UC_PROT_READ | UC_PROT_WRITE;
            return true;
        }
        if (in_flash && type == UC_MEM_FETCH) core->flash_pages[(size_t)(memory - flash) / FLASH_PAGE] = 1;
        entry->perms = in_flash && type != UC_MEM_FETCH ? UC_PROT_READ : UC_PROT_READ | UC_PROT_EXEC;
        return true;
    }
    entry->perms = UC_PROT_READ | UC_PROT_WRITE;
    return bus_owns(core->machine, at);
}

uc_err core_open(Core *core)
{
    struct { int type; void *call; } hooks[] = {
        {UC_HOOK_BLOCK, (void *)on_block},
        {UC_HOOK_INSN_INVALID, (void *)on_invalid},
        {UC_HOOK_INTR, (void *)on_trap},
        {UC_HOOK_EDGE_GENERATED, (void *)on_translated},
        {UC_HOOK_TLB_FILL, (void *)on_translate},
    };
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++) {
        uc_hook handle;
        uc_err error = uc_hook_add(core->uc, &handle, hooks[i].type, hooks[i].call, core, 1, 0);
        if (error != UC_ERR_OK) return error;
    }
    return uc_ctl_tlb_mode(core->uc, UC_TLB_VIRTUAL);
}

/* The state after reset; the machine's clock and the count of instructions go on. */
void core_reset(Core *core)
{
    uint64_t cycles = core->machine->now, instructions = core->instructions, effects = core->effects;
    uc_engine *uc = core->uc;
    struct Machine *machine = core->machine;
    uint32_t index = core->index;
    Debug debug = core->debug;
    memset(core, 0, sizeof *core);
    core->debug = debug;
    core->uc = uc;
    core->machine = machine;
    core->index = index;
    core->cycles = cycles;
    core->instructions = instructions;
    core->effects = effects + 1;
    core->patience = PATIENCE_AFTER_STORE;
    core->polls_needed = POLLS_AFTER_STORE;
    core->trap = -1;
    core->fall = UINT32_MAX;
    for (size_t i = 0; i < 1u << COST_BITS; i++) core->blocks[i].pc = 1;
    systick_reset(core);
    exception_reset(core);
    uc_ctl_flush_tb(uc);
    uc_ctl_flush_tlb(uc); /* code_pages are data again */
    debug_reset(core);
}

/* It stopped at core->pc in the middle of a block, all of which is charged: take back what has not run. */
void core_cut_short(Core *core)
{
    uint64_t instructions = 0;
    core->cycles = core_time(core, core->pc, &instructions);
    core->instructions = instructions;
    core->penalty = 0;
    core->fall = UINT32_MAX;
}

/* The cycle at which the instruction at `pc` of the running block began. The whole block is charged ahead, so what
 * lies from there to its end is taken back; `instructions` (or NULL) gets those before it. */
uint64_t core_time(const Core *core, uint32_t pc, uint64_t *instructions)
{
    Block rest;
    if (instructions) *instructions = core->instructions;
    if (pc < core->block || pc >= core->fall) return core->cycles;
    cost_block(core->machine, &rest, pc, core->fall - pc);
    if (instructions) *instructions = core->instructions - rest.instructions;
    return core->cycles - rest.cycles;
}

/* Run until `budget` (an absolute cycle), a wait, idleness, or an exception, which is then entered. */
void core_run(Core *core, uint64_t budget)
{
    core->budget = budget;
    core->stop = STOP_NONE;
    core->trap = -1;
    const uint64_t others = core->machine->core[1 - core->index].effects;
    if (others != core->seen) core->have = core->spun = false; /* memory may have changed since */
    core->seen = others;
    uc_err error = uc_emu_start(core->uc, core->pc | 1u, nowhere(core), 0, 0);
    uint32_t pc = 0;
    uc_reg_read(core->uc, UC_ARM_REG_PC, &pc);
    core->pc = pc & ~1u;
    if (error != UC_ERR_OK || core->stop == STOP_ERROR) {
        core->stop = STOP_ERROR;
        exception_take(core, error);
    } else if (core->stop == STOP_BREAKPOINT) {
        core_cut_short(core);
        debug_halt(core, DFSR_BKPT);
    } else if (core->stop == STOP_STEPPED) {
        core_cut_short(core);
    } else if (core->stop == STOP_NONE) {
        core->stop = STOP_WFI; /* the only way that unicorn ends a run of its own */
    }
    if (core->stop == STOP_WFE) core->state = CORE_WAITS_EVENT;
    if (core->stop == STOP_WFI) {
        core->state = CORE_WAITS_INTERRUPT;
        note(core->machine, NOTE_WFI, core->index, core->pc, 0);
    }
    if (core->cycles > core->machine->now) core->machine->now = core->cycles;
}
