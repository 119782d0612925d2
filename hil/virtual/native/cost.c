/* What Thumb code costs, on a Cortex-M0+ with the single-cycle multiplier, and where only instructions count.
 *
 * Source: ARM Cortex-M0+ Technical Reference Manual r0p1, table 3-1, zero wait states. A conditional branch costs 1
 * here and is a "penalty" of 1 more when the next block is not the one that follows it. Accesses to devices cost a
 * plain load or store here; bus.c adds what the bus adds.
 */
#include "machine.h"

static Cost stores(uint32_t cycles) { return (Cost){cycles, 0, BLOCK_STORES}; }
static Cost plain(uint32_t cycles) { return (Cost){cycles, 0, 0}; }

static Cost cost_hint(uint32_t word)
{
    switch (word) {
    case 0xbf10: return (Cost){1, 0, BLOCK_YIELD};
    case 0xbf20: return (Cost){2, 0, BLOCK_WFE};
    case 0xbf30: return (Cost){2, 0, BLOCK_WFI};
    case 0xbf40: return (Cost){1, 0, BLOCK_SEV};
    default: return plain(1);
    }
}

Cost cost_m0plus(uint32_t word, uint32_t second)
{
    (void)second;
    uint32_t registers = (uint32_t)__builtin_popcount(word & 0xffu);
    bool to_pc = (word & 0x87u) == 0x87u;
    switch (word >> 11) {
    case 0x08: /* data processing, high registers, BX, BLX */
        if ((word & 0xff00u) == 0x4700u) return plain(2);
        if ((word & 0xfd00u) == 0x4400u && to_pc) return plain(2); /* ADD or MOV to PC */
        return plain(1);
    case 0x09: return plain(2);                                       /* LDR literal */
    case 0x0a: case 0x0b:                                             /* register offset */
        return (word >> 9 & 7u) < 3 ? stores(2) : plain(2);
    case 0x0c: case 0x0e: case 0x10: case 0x12: return stores(2);     /* STR, STRB, STRH, STR [SP] */
    case 0x0d: case 0x0f: case 0x11: case 0x13: return plain(2);      /* and their loads */
    case 0x16: /* B000-B7FF */
        if ((word & 0xfe00u) == 0xb400u) return stores(1 + registers + (word >> 8 & 1u)); /* PUSH: LR is one of N */
        return plain(1);
    case 0x17: /* B800-BFFF */
        if ((word & 0xff00u) == 0xbc00u) return plain(1 + registers);     /* POP */
        if ((word & 0xff00u) == 0xbd00u) return plain(3 + registers + 1); /* POP with PC: PC is one of N */
        return cost_hint(word);
    case 0x18: return stores(1 + registers);                          /* STM */
    case 0x19: return plain(1 + registers);                           /* LDM */
    case 0x1a: case 0x1b: return (word & 0x0f00u) < 0x0e00u ? (Cost){1, 1, 0} : plain(1); /* B<cond>; UDF, SVC */
    case 0x1c: return plain(2);                                       /* B */
    case 0x1e: return plain(3);                                       /* BL, MRS, MSR, DSB, DMB, ISB */
    default: return plain(1);
    }
}

/* Every instruction costs 1: for cores whose pipeline is not modelled. Only what it does to others is told apart
 * (ARMv8-M ARM, C2.2 and C2.3). */
Cost cost_instructions(uint32_t word, uint32_t second)
{
    uint32_t flags = 0;
    if (word < 0xe800u) {
        flags = cost_m0plus(word, 0).flags;
    } else if (word == 0xf3afu) { /* hints */
        flags = cost_hint(0xbf00u | (second & 0xfu) << 4).flags;
    } else {
        bool whole = (word & 0xfe00u) == 0xe800u; /* multiple, dual, exclusive */
        bool single = (word & 0xfe00u) == 0xf800u, coprocessor = (word & 0xfe00u) == 0xec00u;
        if ((whole || single || coprocessor) && !(word & 0x10u)) flags = BLOCK_STORES;
    }
    return (Cost){1, 0, flags};
}

/* Cost of the code at pc, pc + bytes. Code outside memory costs nothing: it faults. */
void cost_block(Machine *m, Block *block, uint32_t pc, uint32_t bytes)
{
    const uint8_t *code = memory_at(m, pc, bytes, false);
    uint32_t cycles = 0, count = 0, flags = 0, penalty = 0;
    for (uint32_t at = 0; code && at + 2 <= bytes; count++) {
        uint32_t word = (uint32_t)code[at] | (uint32_t)code[at + 1] << 8;
        bool wide = word >= 0xe800u;
        uint32_t second = wide && at + 4 <= bytes ? (uint32_t)code[at + 2] | (uint32_t)code[at + 3] << 8 : 0;
        Cost cost = m->chip->cost(word, second);
        cycles += cost.cycles;
        penalty = cost.penalty;
        flags |= cost.flags;
        at += wide ? 4 : 2;
    }
    *block = (Block){pc, (uint16_t)bytes, (uint16_t)cycles, (uint16_t)count, (uint8_t)flags, (uint8_t)penalty};
}
