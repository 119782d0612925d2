/* Which instruction of the running block is making this access?
 *
 * unicorn keeps PC up to date in device callbacks only if every load and store takes its slow path, which costs three
 * quarters of the speed. It does keep the other registers up to date, so the instruction is found: the first one after
 * the block's last access that loads or stores this size at this address. Base registers that the block itself sets
 * to constants are followed, so that an instruction which used the register for something else before is not taken
 * for it. (Left over: a block that reads memory through a pointer it computed, then computes the address of a device
 * into the same register by other means than a constant, and reads that with the same instruction. The access is then
 * dated some cycles early; cycle counts are not touched by that.)
 */
#include "machine.h"

typedef struct { uint32_t bytes, base, offset; bool valid, writes, by_register, multiple; uint32_t index, shift, to, start; } Transfer;
typedef struct { uint32_t known, value[16]; } Constants;

static Transfer register_offset(uint32_t word)
{
    static const uint8_t bytes[8] = {4, 2, 1, 1, 4, 2, 1, 2};
    uint32_t kind = word >> 9 & 7u;
    return (Transfer){.bytes = bytes[kind], .base = word >> 3 & 7u, .index = word >> 6 & 7u, .by_register = true,
                      .to = 1u << (word & 7u), .writes = kind < 3, .valid = true};
}

static Transfer immediate_offset(uint32_t word, uint32_t bytes)
{
    return (Transfer){.bytes = bytes, .base = word >> 3 & 7u, .offset = (word >> 6 & 31u) * bytes,
                      .to = 1u << (word & 7u), .writes = !(word & 0x800u), .valid = true};
}

static Transfer multiple(uint32_t word)
{
    uint32_t count = (uint32_t)__builtin_popcount(word & 0xffu);
    return (Transfer){.bytes = 4, .base = word >> 8 & 7u, .offset = 4 * count, .multiple = true,
                      .to = (word & 0x800u ? word & 0xffu : 0) | 1u << (word >> 8 & 7u), .writes = !(word & 0x800u), .valid = true};
}

/* 32-bit LDR, STR and their kin (ARMv8-M ARM, C2.3.1). */
static Transfer wide_single(uint32_t word, uint32_t second)
{
    uint32_t base = word & 15u, small = second & 0xffu;
    Transfer t = {.bytes = 1u << (word >> 5 & 3u), .base = base, .writes = !(word & 0x10u), .to = 1u << (second >> 12),
                  .valid = base < 13 && (word & 0x60u) != 0x60u};
    if (word & 0x80u) {
        t.offset = second & 0xfffu;
    } else if (second & 0x800u) {
        if (second & 0x400u) t.offset = second & 0x200u ? small : 0u - small;
        if (second & 0x100u) t.to |= 1u << base;
    } else {
        t.by_register = true;
        t.index = second & 15u;
        t.shift = second >> 4 & 3u;
        if (t.index > 12) t.valid = false;
    }
    return t;
}

/* LDRD, STRD, LDM.W and STM.W: some words from an address on. Exclusive accesses do not reach devices. */
static Transfer wide_several(uint32_t word, uint32_t second)
{
    uint32_t base = word & 15u, offset = (second & 0xffu) * 4;
    bool dual = (word & 0x40u) != 0, valid = base < 13 && (!dual || (word & 0x120u));
    Transfer t = {.bytes = 4, .base = base, .multiple = true, .writes = !(word & 0x10u), .valid = valid};
    t.offset = dual ? 8u : 4u * (uint32_t)__builtin_popcount(second);
    t.to = dual ? 1u << (second >> 12) | 1u << (second >> 8 & 15u) : second;
    if (dual && (word & 0x100u)) t.start = word & 0x80u ? offset : 0u - offset;
    if (!dual && !(word & 0x80u)) t.start = 0u - t.offset;
    t.to = (t.writes ? 0 : t.to) | (word & 0x20u ? 1u << base : 0);
    return t;
}

/* Loads and stores through a register; those through SP and PC do not reach devices. */
static Transfer transfer_of(uint32_t word, uint32_t second)
{
    if ((word & 0xfe00u) == 0xf800u) return wide_single(word, second);
    if ((word & 0xfe00u) == 0xe800u) return wide_several(word, second);
    switch (word >> 12) {
    case 0x5: return register_offset(word);
    case 0x6: return immediate_offset(word, 4);
    case 0x7: return immediate_offset(word, 1);
    case 0x8: return immediate_offset(word, 2);
    case 0xc: return multiple(word);
    default: return (Transfer){.valid = false};
    }
}

static void learn(Constants *at, uint32_t to, bool known, uint32_t value)
{
    at->known = known ? at->known | 1u << to : at->known & ~(1u << to);
    at->value[to] = value;
}

static bool knows(const Constants *at, uint32_t which) { return (at->known >> which & 1u) != 0; }

/* Follow one instruction that is not a transfer; whatever it writes and is not understood becomes unknown. */
static void follow(Machine *m, Constants *at, uint32_t pc, uint32_t word, uint32_t second)
{
    uint32_t wide = second >> 8 & 15u;
    uint32_t half = (word & 15u) << 12 | (word >> 10 & 1u) << 11 | (second >> 12 & 7u) << 8 | (second & 0xffu);
    if ((word & 0xfbf0u) == 0xf240u) { /* MOVW, MOVT */
        learn(at, wide, true, half);
        return;
    }
    if ((word & 0xfbf0u) == 0xf2c0u) {
        learn(at, wide, knows(at, wide), (at->value[wide] & 0xffffu) | half << 16);
        return;
    }
    uint32_t to = word & 7u, from = word >> 3 & 7u, eight = word >> 8 & 7u, small = word >> 6 & 31u;
    const uint8_t *literal = NULL;
    switch (word >> 11) {
    case 0x00: learn(at, to, knows(at, from), at->value[from] << small); break; /* LSLS */
    case 0x01: learn(at, to, knows(at, from), small ? at->value[from] >> small : 0); break; /* LSRS */
    case 0x03: /* ADDS, SUBS */
        if ((word & 0x0600u) == 0x0400u) learn(at, to, knows(at, from), at->value[from] + (small & 7u));
        else if ((word & 0x0600u) == 0x0600u) learn(at, to, knows(at, from), at->value[from] - (small & 7u));
        else learn(at, to, false, 0);
        break;
    case 0x04: learn(at, eight, true, word & 0xffu); break; /* MOVS */
    case 0x05: break; /* CMP */
    case 0x06: learn(at, eight, knows(at, eight), at->value[eight] + (word & 0xffu)); break;
    case 0x07: learn(at, eight, knows(at, eight), at->value[eight] - (word & 0xffu)); break;
    case 0x09: /* LDR literal */
        literal = memory_at(m, ((pc + 4) & ~3u) + (word & 0xffu) * 4, 4, false);
        learn(at, eight, literal != NULL, literal ? load32(literal) : 0);
        break;
    case 0x13: case 0x14: case 0x15: learn(at, eight, false, 0); break; /* LDR SP, ADR */
    case 0x17: /* POP, REV */
        at->known &= ~((word & 0x0e00u) == 0x0c00u ? word & 0xffu : 1u << to);
        break;
    case 0x1a: case 0x1b: case 0x1c: case 0x12: break; /* B, STR SP */
    case 0x08: learn(at, (word & 0xfc00u) == 0x4400u ? to | (word >> 4 & 8u) : to, false, 0); break;
    case 0x02: learn(at, to, false, 0); break;
    case 0x16: learn(at, to, false, 0); break; /* SXTB, ... */
    default: at->known = 0; break; /* 32 bits wide */
    }
}

static void follow_transfer(Constants *at, const Transfer *t)
{
    at->known &= ~(t->multiple || !t->writes ? t->to : t->to & 1u << t->base); /* loaded, or written back */
}

static uint32_t value_of(Core *core, const Constants *at, uint32_t which)
{
    uint32_t value = 0;
    if (knows(at, which)) return at->value[which];
    uc_reg_read(core->uc, UC_ARM_REG_R0 + (int)which, &value);
    return value;
}

static bool reaches(Core *core, const Constants *at, const Transfer *t, const Wanted *wanted)
{
    if (!t->valid || t->bytes != wanted->bytes || t->writes != wanted->writes) return false;
    uint32_t base = value_of(core, at, t->base);
    if (t->multiple) return wanted->address - (base + t->start) < t->offset;
    return base + (t->by_register ? value_of(core, at, t->index) << t->shift : t->offset) == wanted->address;
}

static uint32_t find(Core *core, const Wanted *wanted)
{
    Machine *m = core->machine;
    Constants constants = {0};
    uint32_t weak = 0, weak_base = 0;
    const uint8_t *code = memory_at(m, core->block, core->fall - core->block, false);
    if (!code) return core->block;
    for (uint32_t pc = core->block; pc < core->fall; code += 2, pc += 2) {
        uint32_t word = (uint32_t)code[0] | (uint32_t)code[1] << 8;
        uint32_t second = word >= 0xe800u ? (uint32_t)code[2] | (uint32_t)code[3] << 8 : 0;
        Transfer t = transfer_of(word, second);
        if (pc >= core->access && reaches(core, &constants, &t, wanted)) {
            bool strong = knows(&constants, t.base);
            if (strong && (!weak || weak_base == t.base)) return pc;
            if (!weak) {
                weak = pc;
                weak_base = t.base;
            }
        }
        if (t.valid) follow_transfer(&constants, &t);
        else follow(m, &constants, pc, word, second);
        if (word >= 0xe800u) {
            code += 2;
            pc += 2;
        }
    }
    return weak ? weak : core->block;
}

/* The address of the instruction that makes the access `wanted`; the block's first if none is found. */
uint32_t where(Core *core, const Wanted *wanted)
{
    uint32_t pc = find(core, wanted);
    const uint8_t *code = memory_at(core->machine, pc, 2, false);
    bool again = code && (code[1] >> 4 == 0xc || code[1] >> 1 == 0x74); /* LDM, STM, LDRD: one after the other */
    core->access = again ? pc : pc + 2;
    return pc;
}
