/* The core: the block hook that counts, CSRs of Espressif's own, and exceptions.
 *
 * The hook fires before a block runs. A block that is stopped in its hook has not run and is not charged, and its hook
 * fires again when the core goes on: so cutting a run into slices changes no count. Interrupts are not modelled. unicorn has
 * no RV32IMC core: this is an RV32IMAC one, on which atomic instructions, which the chip has not, would run.
 */
#include <string.h>

#include "esp.h"

enum { PATIENCE_AFTER_STORE = 1024 };
enum { FETCH_FAULT = 1, ILLEGAL = 2, BREAKPOINT = 3, READ_FAULT = 5, WRITE_FAULT = 7 }; /* mcause */
enum { MPCER = 0x7e0, MPCMR = 0x7e1, MPCCR = 0x7e2 };
/* Where unicorn is told to end a run: it wants to be able to read code there. In the ROM, of which nothing is modelled. */
#define ROM_AT 0x40000000u
#define ROM_BYTES 0x2000u
#define NOWHERE (ROM_AT + 0x1000u)

static uint32_t half(const Esp *e, uint32_t pc)
{
    uint32_t at = pc - ESP_CODE_AT;
    return at <= ESP_FLASH_BYTES - 2u ? (uint32_t)e->flash[at] | (uint32_t)e->flash[at + 1u] << 8 : 0;
}

static bool stores(uint32_t code)
{
    if ((code & 3u) != 3u) return code >> 13 == 6u && (code & 3u) != 1u; /* C.SW, C.SWSP */
    return (code & 0x7fu) == 0x23u;
}

static void measure(const Esp *e, EspBlock *block, uint32_t pc, uint32_t bytes)
{
    *block = (EspBlock){.pc = pc, .bytes = (uint16_t)bytes};
    for (uint32_t at = pc; at - pc < bytes;) {
        uint32_t code = half(e, at);
        block->instructions++;
        block->stores = block->stores || stores(code);
        at += (code & 3u) == 3u ? 4u : 2u;
    }
}

static void on_block(uc_engine *uc, uint64_t address, uint32_t bytes, void *user)
{
    Esp *e = user;
    uint32_t pc = (uint32_t)address;
    if (__builtin_expect(e->cycles >= e->budget, 0)) {
        e->stop = ESP_STOP_BUDGET;
        uc_emu_stop(uc);
        return;
    }
    if (__builtin_expect(++e->spin.quiet > e->spin.patience, 0) && esp_spin(e, pc)) {
        uc_emu_stop(uc);
        return;
    }
    EspBlock *block = &e->blocks[pc >> 1 & ((1u << ESP_COST_BITS) - 1u)];
    if (__builtin_expect(block->pc != pc || block->bytes != bytes, 0)) measure(e, block, pc, bytes);
    e->cycles += block->instructions;
    e->instructions += block->instructions;
    if (!block->stores) return;
    e->spin.quiet = 0;
    e->spin.have = false;
    e->spin.patience = PATIENCE_AFTER_STORE;
}

/* ---- Espressif's event counter (chapter "ESP-RISC-V CPU", performance counter) ------------------------------- */

static bool counts(const Esp *e) { return (e->count_event & 1u) && (e->count_mode & 1u); }

static uint32_t counter(const Esp *e)
{
    return counts(e) ? e->count_frozen + (uint32_t)(e->cycles - e->count_from) : e->count_frozen;
}

static uint32_t csr_read(const Esp *e, uint32_t csr)
{
    return csr == MPCER ? e->count_event : csr == MPCMR ? e->count_mode : counter(e);
}

static void csr_write(Esp *e, uint32_t csr, uint32_t value)
{
    e->count_frozen = csr == MPCCR ? value : counter(e);
    e->count_from = e->cycles;
    if (csr == MPCER) e->count_event = value & 0x7ffu;
    if (csr == MPCMR) e->count_mode = value & 3u;
}

/* unicorn does not know these registers and reports the instruction as illegal. True: it was one of them, and is done. */
static bool own_csr(Esp *e, uint32_t pc)
{
    uint32_t code = half(e, pc) | half(e, pc + 2u) << 16;
    uint32_t csr = code >> 20, how = code >> 12 & 7u, rd = code >> 7 & 31u, source = code >> 15 & 31u;
    if ((code & 0x7fu) != 0x73u || csr < MPCER || csr > MPCCR || !(how & 3u)) return false;
    uint32_t old = csr_read(e, csr), operand = source;
    if (!(how & 4u)) uc_reg_read(e->uc, UC_RISCV_REG_X0 + (int)source, &operand);
    esp_effect(e);
    if ((how & 3u) == 1u) csr_write(e, csr, operand);
    else if (source) csr_write(e, csr, (how & 3u) == 2u ? old | operand : old & ~operand);
    if (rd) uc_reg_write(e->uc, UC_RISCV_REG_X0 + (int)rd, &old);
    return true;
}

/* ---- exceptions ------------------------------------------------------------------------------------------------ */

/* unicorn has added 4 to the address of the instruction, however long it is. */
static void on_trap(uc_engine *uc, uint32_t cause, void *user)
{
    Esp *e = user;
    uint32_t pc = 0;
    uc_reg_read(uc, UC_RISCV_REG_PC, &pc);
    pc -= 4u;
    if (cause == ILLEGAL && own_csr(e, pc)) return;
    e->pc = pc;
    e->cause = cause;
    e->stop = ESP_STOP_TRAP;
    uc_emu_stop(uc);
}

static uint32_t memory_cause(const Esp *e)
{
    return e->touched_how == UC_MEM_FETCH ? FETCH_FAULT : e->touched_how == UC_MEM_WRITE ? WRITE_FAULT : READ_FAULT;
}

/* Privileged architecture, 3.1: to where mtvec points, whatever its mode. */
static void enter(Esp *e, uint32_t cause, uint32_t value)
{
    uint32_t vector = 0, status = 0;
    uc_reg_read(e->uc, UC_RISCV_REG_MTVEC, &vector);
    vector &= ~0xffu;
    esp_note(e, ESP_NOTE_FAULT, e->pc, cause);
    if (e->pc - vector < 4u || vector - ESP_CODE_AT >= ESP_FLASH_BYTES) {
        e->state = ESP_LOCKED;
        esp_note(e, ESP_NOTE_LOCKED, e->pc, 0);
        return;
    }
    uc_reg_read(e->uc, UC_RISCV_REG_MSTATUS, &status);
    status = (status & ~0x1888u) | 0x1800u | (status & 8u) << 4;
    uc_reg_write(e->uc, UC_RISCV_REG_MSTATUS, &status);
    uc_reg_write(e->uc, UC_RISCV_REG_MEPC, &e->pc);
    uc_reg_write(e->uc, UC_RISCV_REG_MCAUSE, &cause);
    uc_reg_write(e->uc, UC_RISCV_REG_MTVAL, &value);
    e->pc = vector;
    esp_effect(e);
}

/* Translations come from here, so that unicorn keeps stores to RAM on its fast path: no code is run from there. */
static bool on_translate(uc_engine *uc, uint64_t address, uc_mem_type type, uc_tlb_entry *entry, void *user)
{
    Esp *e = user;
    uint32_t at = (uint32_t)address;
    (void)uc;
    if (at - ROM_AT >= ROM_BYTES) { /* which unicorn looks at whenever a run ends */
        e->touched = at;
        e->touched_how = type;
    }
    entry->paddr = address;
    if (at - ESP_RAM_AT < ESP_RAM_BYTES) entry->perms = UC_PROT_READ | UC_PROT_WRITE;
    else if (at - ESP_CODE_AT < ESP_FLASH_BYTES) entry->perms = UC_PROT_READ | UC_PROT_EXEC;
    else if (at - ROM_AT < ROM_BYTES) entry->perms = UC_PROT_READ | UC_PROT_EXEC;
    else if (at - ESP_CONST_AT < ESP_FLASH_BYTES) entry->perms = UC_PROT_READ;
    else if (esp_owns(at)) entry->perms = UC_PROT_READ | UC_PROT_WRITE;
    else return false;
    return true;
}

uc_err esp_core_open(Esp *e)
{
    const struct { int type; void *call; } hooks[] = {
        {UC_HOOK_BLOCK, (void *)on_block}, {UC_HOOK_INTR, (void *)on_trap}, {UC_HOOK_TLB_FILL, (void *)on_translate},
    };
    uc_err error = uc_open(UC_ARCH_RISCV, UC_MODE_RISCV32, &e->uc);
    if (error == UC_ERR_OK) error = uc_ctl_set_cpu_model(e->uc, UC_CPU_RISCV32_SIFIVE_E31);
    if (error == UC_ERR_OK) error = uc_mem_map_ptr(e->uc, ESP_CODE_AT, ESP_FLASH_BYTES, UC_PROT_READ | UC_PROT_EXEC, e->flash);
    if (error == UC_ERR_OK) error = uc_mem_map_ptr(e->uc, ESP_CONST_AT, ESP_FLASH_BYTES, UC_PROT_READ, e->flash);
    if (error == UC_ERR_OK) error = uc_mem_map_ptr(e->uc, ESP_RAM_AT, ESP_RAM_BYTES, UC_PROT_READ | UC_PROT_WRITE, e->ram);
    if (error == UC_ERR_OK) error = uc_mem_map(e->uc, ROM_AT, ROM_BYTES, UC_PROT_READ | UC_PROT_EXEC);
    if (error == UC_ERR_OK) error = esp_map_devices(e);
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks && error == UC_ERR_OK; i++) {
        uc_hook handle;
        error = uc_hook_add(e->uc, &handle, hooks[i].type, hooks[i].call, e, 1, 0);
    }
    if (error == UC_ERR_OK) error = uc_ctl_tlb_mode(e->uc, UC_TLB_VIRTUAL);
    return error;
}

/* Registers as after reset; what was in flash may have changed. */
void esp_core_reset(Esp *e)
{
    uint32_t zero = 0;
    for (int i = 1; i < (int)ESP_REGISTERS; i++) uc_reg_write(e->uc, UC_RISCV_REG_X0 + i, &zero);
    uc_reg_write(e->uc, UC_RISCV_REG_MSTATUS, &zero);
    uc_reg_write(e->uc, UC_RISCV_REG_MTVEC, &zero);
    e->count_event = e->count_mode = e->count_frozen = 0;
    e->spin = (EspSpin){.patience = PATIENCE_AFTER_STORE};
    for (size_t i = 0; i < 1u << ESP_COST_BITS; i++) e->blocks[i].pc = 1;
    uc_ctl_flush_tb(e->uc);
    uc_ctl_flush_tlb(e->uc);
}

/* Run until `budget` (an absolute cycle), idleness, or an exception, which is then entered. */
void esp_core_run(Esp *e, uint64_t budget)
{
    e->budget = budget;
    e->stop = ESP_STOP_NONE;
    uc_err error = uc_emu_start(e->uc, e->pc, NOWHERE, 0, 0);
    if (e->stop == ESP_STOP_TRAP) {
        enter(e, e->cause, 0);
        return;
    }
    uc_reg_read(e->uc, UC_RISCV_REG_PC, &e->pc);
    if (error != UC_ERR_OK) {
        e->stop = ESP_STOP_TRAP;
        enter(e, memory_cause(e), e->touched);
    } else if (e->stop == ESP_STOP_NONE) {
        esp_note(e, ESP_NOTE_WFI, e->pc, 0); /* the only way that unicorn ends a run of its own; nothing ends it */
        e->state = ESP_HELD;
    }
}
