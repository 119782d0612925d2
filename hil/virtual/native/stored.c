/* Flash that code programs by storing to it, as controllers within a chip have it. unicorn sees such a page of flash as a
 * device (at SHADOW) from the first store to it until code is fetched from there.
 */
#include <string.h>

#include "machine.h"

static uint64_t on_read(uc_engine *uc, uint64_t offset, unsigned bytes, void *user)
{
    const Core *core = user;
    uint64_t value = 0;
    (void)uc;
    for (unsigned i = 0; i < bytes; i++) value |= (uint64_t)core->machine->flash[offset + i] << 8 * i;
    return value;
}

static void on_write(uc_engine *uc, uint64_t offset, unsigned bytes, uint64_t value, void *user)
{
    Core *core = user;
    Machine *m = core->machine;
    (void)uc;
    if (m->chip->stored_flash->open(m)) m->chip->stored_flash->store(m, (uint32_t)offset, bytes, (uint32_t)value);
    else note(m, NOTE_FLASHER, core->index, (uint32_t)offset, bytes); /* it has been closed since the last store */
    if (m->written) core->budget = 0; /* what was translated from flash is stale */
}

uc_err flash_map(Machine *m, Core *core)
{
    if (!m->chip->stored_flash) return UC_ERR_OK;
    return uc_mmio_map(core->uc, SHADOW, m->chip->flash_bytes, on_read, core, on_write, core);
}

/* A store by the debug port. */
bool flash_store(Machine *m, uint32_t address, uint32_t bytes, uint32_t value)
{
    const uint8_t *at = memory_at(m, address, bytes, false);
    const StoredFlash *stored = m->chip->stored_flash;
    if (!stored || !at || at < m->flash || at >= m->flash + m->chip->flash_bytes || !stored->open(m)) return false;
    stored->store(m, (uint32_t)(at - m->flash), bytes, value);
    return true;
}

/* As flash does it: programming makes zeros of ones. */
void flash_and(Machine *m, uint32_t offset, uint32_t value, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) m->flash[offset + i] &= (uint8_t)(value >> 8 * i);
    debug_changed(m, offset, bytes);
}

void flash_erase(Machine *m, uint32_t offset, uint32_t bytes)
{
    memset(m->flash + offset, 0xff, bytes);
    debug_changed(m, offset, bytes);
}
