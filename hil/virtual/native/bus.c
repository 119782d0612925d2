/* The address map (2.2), and what an access to each part of it costs.
 *
 * A plain load or store is in the block's cost already; a chip's table of blocks says what comes on top. Addresses that
 * no block owns are not mapped, and fault.
 */
#include <string.h>

#include "machine.h"

static Access access_make(const Window *window, uint32_t offset, uint64_t now)
{
    Machine *m = window->core->machine;
    uint32_t *regs = m->bank[window->index];
    return (Access){m, window->core, now, offset, regs, false};
}

static bool held(const Window *window)
{
    const Machine *m = window->core->machine;
    int8_t bit = m->chip->blocks[window->index].reset_bit;
    return bit >= 0 && (m->resets >> bit & 1u);
}

static uint64_t access_time(Core *core, const Wanted *wanted)
{
    return core_time(core, where(core, wanted), NULL);
}

static uint64_t on_read(uc_engine *uc, uint64_t offset, unsigned bytes, void *user)
{
    const Window *window = user;
    const BlockInfo *info = &window->core->machine->chip->blocks[window->index];
    Core *core = window->core;
    uint32_t lane = (uint32_t)offset & 3u, value = 0;
    uint64_t now = access_time(core, &(Wanted){info->base + (uint32_t)offset, bytes, false});
    (void)uc;
    if (!held(window)) {
        Access at = access_make(window, (uint32_t)offset & 0xffcu, now);
        value = info->read(&at);
    }
    core->cycles = (uint64_t)((int64_t)core->cycles + info->read_wait);
    if (++core->polls > core->polls_needed && core->quiet < core->patience) core->quiet = core->patience;
    value >>= 8 * lane;
    return bytes == 4 ? value : value & ((1u << (8 * bytes)) - 1u);
}

/* The bus fabric copies a narrow write to all lanes (2.1.4). */
static uint32_t replicate(uint64_t value, unsigned bytes)
{
    if (bytes == 1) return ((uint32_t)value & 0xffu) * 0x01010101u;
    if (bytes == 2) return ((uint32_t)value & 0xffffu) * 0x00010001u;
    return (uint32_t)value;
}

static void on_write(uc_engine *uc, uint64_t offset, unsigned bytes, uint64_t wide, void *user)
{
    const Window *window = user;
    const BlockInfo *info = &window->core->machine->chip->blocks[window->index];
    Core *core = window->core;
    uint32_t value = replicate(wide, bytes), alias = (uint32_t)offset >> 12 & 3u;
    uint64_t now = access_time(core, &(Wanted){info->base + (uint32_t)offset, bytes, true});
    (void)uc;
    core->cycles = (uint64_t)((int64_t)core->cycles + info->write_wait);
    if (held(window)) return;
    Access at = access_make(window, (uint32_t)offset & 0xffcu, now);
    if (info->aliases && alias) {
        at.peek = true;
        uint32_t old = info->read(&at);
        at.peek = false;
        value = alias == 1 ? old ^ value : alias == 2 ? old | value : old & ~value;
    }
    info->write(&at, value);
    effect(core);
}

uint32_t storage_read(const Access *at) { return at->regs[at->offset / 4]; }
void storage_write(const Access *at, uint32_t value) { at->regs[at->offset / 4] = value; }
void read_only(const Access *at, uint32_t value) { (void)at, (void)value; }

static uint32_t index_of(const Chip *chip, BlockName name)
{
    uint32_t i = 0;
    while (i < chip->block_count && chip->blocks[i].name != name) i++;
    return i;
}

/* The registers of a named block; of one that the chip lacks, zeros that nobody maps. */
uint32_t *bus_bank(Machine *m, BlockName name) { return m->bank[index_of(m->chip, name)]; }

bool bus_in_reset(const Machine *m, BlockName name)
{
    const Chip *chip = m->chip;
    uint32_t index = index_of(chip, name);
    return index < chip->block_count && (m->resets >> chip->blocks[index].reset_bit & 1u);
}

void bus_reset_block(Machine *m, uint32_t index)
{
    const Chip *chip = m->chip;
    uint32_t *regs = m->bank[index];
    memset(regs, 0, sizeof m->bank[0]);
    for (uint32_t i = 0; i < chip->value_count; i++) {
        const ResetValue *value = &chip->values[i];
        uint32_t offset = value->address - chip->blocks[index].base;
        if (offset >= sizeof m->bank[0]) continue;
        for (uint32_t k = 0; k < value->count; k++) regs[(offset + k * value->step) / 4] = value->value;
    }
}

void bus_reset(Machine *m)
{
    for (uint32_t i = 0; i < m->chip->block_count; i++) bus_reset_block(m, i);
}

static uint32_t bytes_of(const BlockInfo *info) { return info->aliases ? 0x4000u : 0x1000u; }

/* Whether there is a block of registers at `address`. */
bool bus_owns(const Machine *m, uint32_t address)
{
    const Chip *chip = m->chip;
    for (uint32_t i = 0; i < chip->block_count; i++)
        if (address - chip->blocks[i].base < bytes_of(&chip->blocks[i])) return true;
    return false;
}

uc_err bus_map(Machine *m, Core *core)
{
    const Chip *chip = m->chip;
    for (uint32_t i = 0; i < chip->block_count; i++) {
        Window *window = &m->window[core->index][i];
        *window = (Window){core, i};
        uint32_t base = chip->blocks[i].base, bytes = bytes_of(&chip->blocks[i]);
        uc_err error = uc_mmio_map(core->uc, base, bytes, on_read, window, on_write, window);
        if (error != UC_ERR_OK) return error;
    }
    return UC_ERR_OK;
}
