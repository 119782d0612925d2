/* The boot ROM's way to erase and program flash: a device of the virtual chips' own, at an address that no data sheet
 * knows. The real ROM drives the flash chip over SPI here. It obeys code in ROM alone, and takes no time.
 *
 * As flash does it: erasing makes ones of whole 4 KiB sectors, programming makes zeros of ones in whole 256-byte pages.
 */
#include <string.h>

#include "machine.h"

enum { OFFSET = 0, COUNT = 4, DATA = 8, COMMAND = 12 };
enum { ERASE = 1, PROGRAM = 2 };
enum { SECTOR = 4096, PAGE = 256 };

static bool erase(Machine *m, uint32_t offset, uint32_t count)
{
    if (offset % SECTOR || count % SECTOR) return false;
    memset(m->flash + offset, 0xff, count);
    return true;
}

static bool program(Machine *m, uint32_t offset, uint32_t count, uint32_t data)
{
    const uint8_t *from = memory_at(m, data, count, true);
    if (!from || offset % PAGE || count % PAGE) return false;
    for (uint32_t i = 0; i < count; i++) m->flash[offset + i] &= from[i];
    return true;
}

void flasher_write(const Access *at, uint32_t value)
{
    Machine *m = at->m;
    at->regs[at->offset / 4] = value;
    if (at->offset != COMMAND || at->core->block >= m->chip->rom_bytes) return;
    uint32_t offset = at->regs[OFFSET / 4], count = at->regs[COUNT / 4];
    bool inside = offset <= m->chip->flash_bytes && count <= m->chip->flash_bytes - offset;
    bool done = inside && (value == ERASE ? erase(m, offset, count)
                                          : value == PROGRAM && program(m, offset, count, at->regs[DATA / 4]));
    if (!done) note(m, NOTE_FLASHER, at->core->index, offset, count);
    else debug_changed(m, offset, count);
    if (m->written) at->core->budget = 0; /* what was translated from flash is stale */
}
