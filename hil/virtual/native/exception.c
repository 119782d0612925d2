/* Exceptions by hand: unicorn says what went wrong, this does what ARMv6-M does about it (ARM DDI 0419, B1.5).
 *
 * HardFault and SVCall are entered and left. Interrupts are not modelled: no NVIC line and no SysTick exception is
 * ever taken. A fault in the HardFault handler, or one that cannot be stacked, locks the core up.
 */
#include "machine.h"

enum { HARD_FAULT = 3, SVCALL = 11 };
enum { TRAP_UNDEFINED = 1, TRAP_SVC = 2, TRAP_BREAKPOINT = 7, TRAP_COPROCESSOR = 17, TRAP_STATE = 18 }; /* QEMU's numbers */
#define FRAME 32u
#define NO_CODE 0xe0000000u /* from here on */

static uint32_t get(Core *core, int id)
{
    uint32_t value = 0;
    uc_reg_read(core->uc, id, &value);
    return value;
}

static void set(Core *core, int id, uint32_t value) { uc_reg_write(core->uc, id, &value); }

uint32_t exception_number(Core *core) { return get(core, UC_ARM_REG_IPSR) & 0x3fu; }

static void lock_up(Core *core)
{
    core->state = CORE_LOCKED;
    note(core->machine, NOTE_LOCKUP, core->index, core->pc, get(core, UC_ARM_REG_LR));
}

void exception_reset(Core *core)
{
    static const int plain[] = {
        UC_ARM_REG_R0, UC_ARM_REG_R1, UC_ARM_REG_R2, UC_ARM_REG_R3, UC_ARM_REG_R4, UC_ARM_REG_R5, UC_ARM_REG_R6,
        UC_ARM_REG_R7, UC_ARM_REG_R8, UC_ARM_REG_R9, UC_ARM_REG_R10, UC_ARM_REG_R11, UC_ARM_REG_R12,
        UC_ARM_REG_PRIMASK, UC_ARM_REG_CONTROL,
    };
    set(core, UC_ARM_REG_XPSR, 0x01000000u);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) set(core, plain[i], 0);
    set(core, UC_ARM_REG_PSP, 0);
    set(core, UC_ARM_REG_LR, UINT32_MAX);
    const uint8_t *vectors = memory_at(core->machine, 0, 8, false);
    set(core, UC_ARM_REG_MSP, load32(vectors) & ~3u);
    set(core, UC_ARM_REG_SP, load32(vectors) & ~3u);
    core->pc = load32(vectors + 4) & ~1u;
}

static void enter(Core *core, uint32_t number, uint32_t return_pc)
{
    static const int stacked[7] = {UC_ARM_REG_R0, UC_ARM_REG_R1, UC_ARM_REG_R2, UC_ARM_REG_R3,
                                   UC_ARM_REG_R12, UC_ARM_REG_LR, 0};
    Machine *m = core->machine;
    uint32_t sp = get(core, UC_ARM_REG_SP), psr = get(core, UC_ARM_REG_XPSR), before = psr & 0x3fu;
    bool process = !before && (get(core, UC_ARM_REG_CONTROL) & 2u);
    uint32_t at = (sp - FRAME) & ~4u, padded = sp & 4u ? 0x200u : 0;
    uint8_t *frame = memory_at(m, at, FRAME, true);
    const uint8_t *vector = memory_at(m, core->vtor + 4 * number, 4, false);
    if (!frame || !vector) {
        lock_up(core);
        return;
    }
    for (uint32_t i = 0; i < 6; i++) store32(frame + 4 * i, get(core, stacked[i]));
    store32(frame + 24, return_pc);
    store32(frame + 28, (psr & ~0x200u) | padded | 0x01000000u);
    set(core, UC_ARM_REG_SP, at);
    set(core, UC_ARM_REG_XPSR, (psr & 0xf0000000u) | 0x01000000u | number);
    if (process) set(core, UC_ARM_REG_CONTROL, get(core, UC_ARM_REG_CONTROL) & ~2u);
    set(core, UC_ARM_REG_LR, before ? 0xfffffff1u : process ? 0xfffffffdu : 0xfffffff9u);
    core->cycles += m->chip->entry_cycles;
    core->pc = load32(vector) & ~1u;
    effect(core);
    /* A handler that is not Thumb code faults at once, and one where nothing can be run, as erased flash has it. */
    if (!(load32(vector) & 1u) || core->pc >= NO_CODE) lock_up(core);
}

/* CFSR, HFSR and BFAR (ARMv8-M ARM, D1.2.37). The configurable faults are off after reset and are not modelled as
 * exceptions of their own: all are escalated to HardFault. */
static void record(Core *core, uint32_t cause)
{
    static const uint32_t bits[] = {[CAUSE_READ] = 1u << 15 | 1u << 9, [CAUSE_WRITE] = 1u << 15 | 1u << 9,
                                    [CAUSE_FETCH] = 1u << 8, [CAUSE_UNDEFINED] = 1u << 16, [CAUSE_BREAKPOINT] = 0,
                                    [CAUSE_UNALIGNED] = 1u << 24, [CAUSE_SVC] = 0, [CAUSE_STATE] = 1u << 17};
    if (!core->machine->chip->fault_status) return;
    core->ppb[0xd28 / 4] |= bits[cause];
    core->ppb[0xd2c / 4] |= cause == CAUSE_BREAKPOINT ? 1u << 31 : 1u << 30;
    if (cause == CAUSE_READ || cause == CAUSE_WRITE) core->ppb[0xd38 / 4] = core->touched;
}

static void fault(Core *core, uint32_t cause)
{
    uint32_t number = exception_number(core);
    record(core, cause);
    note(core->machine, NOTE_FAULT, core->index, core->pc, cause);
    if (number == HARD_FAULT) lock_up(core);
    else enter(core, HARD_FAULT, core->pc);
    debug_faulted(core);
}

static void leave(Core *core)
{
    static const int stacked[6] = {UC_ARM_REG_R0, UC_ARM_REG_R1, UC_ARM_REG_R2,
                                   UC_ARM_REG_R3, UC_ARM_REG_R12, UC_ARM_REG_LR};
    Machine *m = core->machine;
    bool process = (core->pc & 0xfu) == 0xcu;
    uint32_t sp = get(core, process ? UC_ARM_REG_PSP : UC_ARM_REG_MSP);
    const uint8_t *frame = memory_at(m, sp, FRAME, true);
    if (!frame) {
        lock_up(core);
        return;
    }
    uint32_t psr = load32(frame + 28), to = load32(frame + 24);
    uint32_t up = sp + FRAME + (psr & 0x200u ? 4u : 0);
    set(core, UC_ARM_REG_XPSR, (psr & 0xf000003fu) | 0x01000000u);
    if (process) set(core, UC_ARM_REG_CONTROL, get(core, UC_ARM_REG_CONTROL) | 2u);
    set(core, UC_ARM_REG_SP, up);
    for (uint32_t i = 0; i < 6; i++) set(core, stacked[i], load32(frame + 4 * i));
    core->cycles += m->chip->exit_cycles;
    core->pc = to & ~1u;
    core->event = true; /* exception return is an event (B1.5.18) */
    effect(core);
}

/* PC of an instruction that ended its block: unicorn may report it or what follows it. */
static uint32_t last_instruction(Core *core)
{
    Machine *m = core->machine;
    uint32_t at = core->block, last = core->pc;
    if (core->pc < core->block || core->pc > core->fall) return core->pc;
    while (at < core->fall) {
        const uint8_t *code = memory_at(m, at, 2, false);
        if (!code) break;
        last = at;
        at += (uint32_t)code[1] >= 0xe8u ? 4 : 2;
    }
    return last;
}

static uint32_t cause_of(const Core *core, uc_err error, int trap)
{
    if (error == UC_ERR_INSN_INVALID || trap == TRAP_UNDEFINED) return CAUSE_UNDEFINED;
    if (trap == TRAP_BREAKPOINT) return CAUSE_BREAKPOINT;
    if (trap == TRAP_COPROCESSOR) return CAUSE_UNDEFINED;
    if (trap == TRAP_STATE) return CAUSE_STATE;
    if (trap >= 0) return CAUSE_UNALIGNED; /* aborts: no other is left, since translations are our own */
    if (core->touched_how == UC_MEM_FETCH) return CAUSE_FETCH;
    return core->touched_how == UC_MEM_WRITE ? CAUSE_WRITE : CAUSE_READ;
}

/* RP2350's redundancy coprocessor (its data sheet, 3.6.3): whoever asks whether it is salted is told that it is, as it is
 * behind the boot ROM. Its other instructions, which check for glitches, are not modelled. */
static bool coprocessor(Core *core)
{
    enum { CPACR = 0xd88, CP7 = 3 << 14 };
    const uint8_t *code = memory_at(core->machine, core->pc, 4, false);
    bool canary = code && load32(code) == 0xf710ee30u; /* mrc p7, #1, apsr_nzcv, c0, c0, #0 */
    if (!canary || (core->ppb[CPACR / 4] & CP7) != CP7) return false;
    core->pc += 4;
    core_cut_short(core);
    set(core, UC_ARM_REG_XPSR, (get(core, UC_ARM_REG_XPSR) & 0x0fffffffu) | 0x80000000u);
    return true;
}

/* The run ended in `error`, or in the trap core->trap: do what the core does. */
void exception_take(Core *core, uc_err error)
{
    bool returning = core->pc >= 0xfffffff0u && exception_number(core) != 0;
    int trap = core->trap;
    core->trap = -1;
    core->yielded = core->wait = false;
    if (returning) {
        core->cycles += core->penalty;
        core->penalty = 0;
        core->fall = UINT32_MAX;
        leave(core);
        return;
    }
    if (trap == TRAP_SVC) {
        core->fall = UINT32_MAX;
        if (exception_number(core) == 0 && !(get(core, UC_ARM_REG_PRIMASK) & 1u)) {
            enter(core, SVCALL, core->pc);
            return;
        }
        core->pc -= 2; /* escalated: a fault returns to the SVC itself */
        fault(core, CAUSE_SVC);
        return;
    }
    if (trap == TRAP_COPROCESSOR && coprocessor(core)) return;
    uint32_t cause = cause_of(core, error, trap);
    if (cause == CAUSE_UNDEFINED || cause == CAUSE_BREAKPOINT) core->pc = last_instruction(core);
    core_cut_short(core);
    if (cause == CAUSE_BREAKPOINT && debug_enabled(core)) debug_halt(core, DFSR_BKPT);
    else fault(core, cause);
}
