/* Polling loops, skipped exactly: as spin.c does it, for a core that is alone.
 *
 * A loop that stored nothing, changed no device, and came back to the same place with every register the same will do so
 * again until what it reads changes. Whole periods up to that moment are added at once; the last one is left to run.
 */
#include <string.h>

#include "esp.h"

enum { WINDOW = 64, PATIENCE = 64, PATIENCE_MAX = 1 << 14 };

static void registers(Esp *e, uint32_t to[ESP_REGISTERS])
{
    int ids[ESP_REGISTERS];
    void *values[ESP_REGISTERS];
    for (int i = 0; i < (int)ESP_REGISTERS; i++) {
        ids[i] = UC_RISCV_REG_X0 + i;
        to[i] = 0;
        values[i] = &to[i];
    }
    uc_reg_read_batch(e->uc, ids, values, (int)ESP_REGISTERS);
}

static void give_up(EspSpin *spin)
{
    spin->have = false;
    spin->quiet = 0;
    if (spin->patience < PATIENCE_MAX) spin->patience *= 2;
}

static bool skip(Esp *e)
{
    EspSpin *spin = &e->spin;
    uint64_t period = e->cycles - spin->cycles, event = esp_next_event(e);
    uint64_t ps = event < spin->stable ? event : spin->stable;
    uint64_t until = esp_cycle(e, ps);
    spin->have = false;
    spin->patience = spin->quiet = PATIENCE; /* the next block starts a new proof */
    if (ps == ESP_NEVER) {
        e->stop = ESP_STOP_IDLE;
        return true;
    }
    if (e->budget < until) until = e->budget;
    if (until > e->cycles + 2 * period) {
        uint64_t times = (until - e->cycles) / period - 1;
        e->instructions += times * (e->instructions - spin->instructions);
        e->cycles += times * period;
    }
    return false;
}

bool esp_spin(Esp *e, uint32_t pc)
{
    EspSpin *spin = &e->spin;
    if (e->no_skip) {
        spin->quiet = 0;
        return false;
    }
    if (!spin->have) {
        registers(e, spin->registers);
        spin->have = true;
        spin->window = 0;
        spin->pc = pc;
        spin->cycles = e->cycles;
        spin->instructions = e->instructions;
        spin->stable = ESP_NEVER;
        return false;
    }
    if (pc != spin->pc) {
        if (++spin->window > WINDOW) give_up(spin);
        return false;
    }
    uint32_t now[ESP_REGISTERS];
    registers(e, now);
    if (e->cycles == spin->cycles || memcmp(now, spin->registers, sizeof now) != 0) {
        give_up(spin);
        return false;
    }
    return skip(e);
}
