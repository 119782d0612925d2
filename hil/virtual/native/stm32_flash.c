/* The flash controller of the STM32L4R5 (RM0432, 3): two banks of 256 pages of 4 KiB, or one of 256 of 8 KiB. What is stored in
 * order, two words to a double word that is erased, is programmed; all else is an error in SR. No operation takes time. Of
 * the option bytes there is OPTR, which counts as soon as it is written, and lives as long as flash. Write protection, fast
 * programming and the ECC's reports are not modelled. */
#include "machine.h"

enum { ACR = 0x00, KEYR = 0x08, OPTKEYR = 0x0c, SR = 0x10, CR = 0x14, OPTR = 0x20 };
enum { PROGERR = 1 << 3, PGAERR = 1 << 5, SIZERR = 1 << 6, PGSERR = 1 << 7, ERRORS = 0xc3fa };
enum { PG = 1, PER = 2, MER1 = 1 << 2, BKER = 1 << 11, MER2 = 1 << 15, STRT = 1 << 16 };
enum { PAGE = 4096, BANK = 1 << 20 };
#define LOCK (1u << 31)
#define OPTLOCK (1u << 30)
#define OPTR_KEY1 0x08192a3bu
#define OPTR_KEY2 0x4c5d6e7fu
#define OPTR_FACTORY 0xffeff8aau
#define TWO_BANKS (1u << 22)
#define KEY1 0x45670123u
#define KEY2 0xcdef89abu

#define NONE UINT32_MAX /* in flash_half_at: no half of a double word waits for the other */

static uint32_t *registers(Machine *m) { return bus_bank(m, BLOCK_FLASH); }

/* Erased words beside flash stand for what the factory has set. */
static uint32_t options(const Machine *m) { return m->settings[0] == UINT32_MAX ? OPTR_FACTORY : m->settings[0]; }

static bool open_to_stores(Machine *m) { return (registers(m)[CR / 4] & (LOCK | PG)) == PG; }

static void refuse(Machine *m, uint32_t error)
{
    registers(m)[SR / 4] |= error;
    m->flash_half_at = NONE;
}

static void store(Machine *m, uint32_t offset, uint32_t bytes, uint32_t value)
{
    uint32_t low = m->flash_half;
    if (registers(m)[SR / 4] & ERRORS) {
        refuse(m, PGSERR);
    } else if (bytes != 4 || offset % 4u) {
        refuse(m, SIZERR);
    } else if (offset % 8u == 0) {
        m->flash_half = value;
        m->flash_half_at = offset;
    } else if (offset != m->flash_half_at + 4u) {
        refuse(m, PGAERR);
    } else {
        const uint8_t *at = m->flash + offset - 4;
        bool erased = load32(at) == UINT32_MAX && load32(at + 4) == UINT32_MAX;
        m->flash_half_at = NONE;
        if (!erased && (low || value)) { /* zeros may be written over anything (3.3.7) */
            refuse(m, PROGERR);
            return;
        }
        flash_and(m, offset - 4, low, 4);
        flash_and(m, offset, value, 4);
    }
}

const StoredFlash flash_stm32 = {open_to_stores, store};

static void start(Machine *m, uint32_t control)
{
    uint32_t page = control >> 3 & 0xffu;
    bool two = (options(m) & TWO_BANKS) != 0;
    uint32_t at = two ? (control & BKER ? BANK : 0) + page * PAGE : page * 2u * PAGE;
    if (control & MER1) flash_erase(m, 0, BANK);
    if (control & MER2) flash_erase(m, BANK, BANK);
    if (control & PER) flash_erase(m, at, two ? PAGE : 2u * PAGE);
}

uint32_t stm32_flash_read(const Access *at)
{
    if (at->offset == OPTR) return options(at->m);
    return at->offset == KEYR || at->offset == OPTKEYR ? 0 : at->regs[at->offset / 4];
}

void stm32_flash_write(const Access *at, uint32_t value)
{
    Machine *m = at->m;
    uint32_t *regs = at->regs, control = regs[CR / 4];
    switch (at->offset) {
    case KEYR: /* the first key is kept where it reads as zero */
        if (regs[KEYR / 4] == KEY1 && value == KEY2) regs[CR / 4] &= ~LOCK;
        regs[KEYR / 4] = value;
        break;
    case OPTKEYR:
        if (regs[OPTKEYR / 4] == OPTR_KEY1 && value == OPTR_KEY2 && !(control & LOCK)) regs[CR / 4] &= ~OPTLOCK;
        regs[OPTKEYR / 4] = value;
        break;
    case OPTR:
        if (!(control & OPTLOCK)) m->settings[0] = value;
        break;
    case SR: regs[SR / 4] &= ~value; break;
    case CR:
        if (control & LOCK) return;
        regs[CR / 4] = (value & ~(uint32_t)STRT) | (control & OPTLOCK); /* OPTLOCK is opened by its keys alone */
        m->flash_half_at = NONE;
        if (value & STRT) start(m, value);
        if (m->written) at->core->budget = 0; /* what was translated from flash is stale */
        break;
    case ACR:
        regs[ACR / 4] = value;
        clocks_update(m, at->now);
        break;
    default: break;
    }
}
