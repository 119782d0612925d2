/* The chip: power, time, and the calls that the host process makes. */
#include <stdlib.h>
#include <string.h>

#include "esp.h"

/* Why esp_run came back; hil/virtual/esp/machine.py knows these by number. */
enum { RAN_TO_LIMIT = 0, RAN_IDLE = 1, RAN_DEAD = 2 };
#define MAGIC 0xaedb041du /* twice, at the start of flash that is to be booted directly */

typedef struct { uint64_t cycles, nanoseconds, instructions, hz; uint32_t pc, state; } EspClock;

Esp *esp_open(uint8_t *flash, uint8_t *ram);
void esp_close(Esp *e);
void esp_power(Esp *e);
bool esp_boot(Esp *e);
void esp_hold(Esp *e);
void esp_skip(Esp *e, bool on);
int esp_run(Esp *e, uint64_t cycles);
uint32_t esp_room(const Esp *e);
uint32_t esp_give(Esp *e, const uint8_t *bytes, uint32_t count);
uint32_t esp_take(Esp *e, uint8_t *bytes, uint32_t count);
void esp_clock(const Esp *e, EspClock *clock);
bool esp_next_note(Esp *e, EspNote *out);

void esp_note(Esp *e, uint32_t kind, uint32_t a, uint32_t b)
{
    if (e->note_head - e->note_tail == ESP_NOTES) return;
    e->notes[e->note_head++ % ESP_NOTES] = (EspNote){kind, a, b};
}

/* ---- time ---------------------------------------------------------------------------------------------------- */

uint64_t esp_ps(const Esp *e) { return e->base_ps + (e->cycles - e->base_cycles) * e->cycle_ps; }

uint64_t esp_cycle(const Esp *e, uint64_t ps)
{
    if (ps == ESP_NEVER) return ESP_NEVER;
    if (ps <= e->base_ps) return e->base_cycles;
    return e->base_cycles + (ps - e->base_ps + e->cycle_ps - 1u) / e->cycle_ps;
}

void esp_clock_rate(Esp *e, uint32_t cycle_ps)
{
    e->base_ps = esp_ps(e);
    e->base_cycles = e->cycles;
    e->cycle_ps = cycle_ps;
    e->budget = 0; /* limits are moments: they are other cycles now */
}

/* ---- power --------------------------------------------------------------------------------------------------- */

Esp *esp_open(uint8_t *flash, uint8_t *ram)
{
    Esp *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    e->flash = flash;
    e->ram = ram;
    if (esp_core_open(e) != UC_ERR_OK) {
        esp_close(e);
        return NULL;
    }
    esp_power(e);
    return e;
}

void esp_close(Esp *e)
{
    if (e->uc) uc_close(e->uc);
    free(e);
}

/* SRAM after power-on holds no zeros that a program could rely on by mistake, and the same words in every run. */
static void fill_ram(Esp *e)
{
    uint32_t word = 0x9e3779b9u;
    for (uint32_t at = 0; at < ESP_RAM_BYTES; at++) {
        word ^= word << 13;
        word ^= word >> 17;
        word ^= word << 5;
        e->ram[at] = (uint8_t)(word | 1u);
    }
}

/* Off, and on again: its time begins anew, bytes on their way are gone. The core is held until esp_boot. */
void esp_power(Esp *e)
{
    fill_ram(e);
    e->cycles = e->instructions = e->base_cycles = e->base_ps = 0;
    e->cycle_ps = 1;
    memset(&e->uart, 0, sizeof e->uart);
    esp_hold(e);
}

/* Reset by the chip's EN pin or a watchdog, and nothing more: time goes on. */
void esp_hold(Esp *e)
{
    esp_devices_reset(e);
    esp_core_reset(e);
    e->state = ESP_HELD;
    e->pc = 0;
}

/* What the boot ROM does when it is to boot from flash. False: there is nothing that it would start. */
bool esp_boot(Esp *e)
{
    esp_hold(e);
    for (uint32_t i = 0; i < 8; i++)
        if (e->flash[i] != (uint8_t)(MAGIC >> 8 * (i % 4u))) return false;
    e->pc = ESP_CODE_AT + 8u;
    e->state = ESP_RUNS;
    return true;
}

void esp_skip(Esp *e, bool on) { e->no_skip = !on; }

/* ---- running ------------------------------------------------------------------------------------------------- */

static bool bitten(Esp *e)
{
    if (!e->dogs || esp_ps(e) < e->bite) return false;
    esp_note(e, ESP_NOTE_WATCHDOG, e->dogs, 0);
    esp_boot(e);
    return true;
}

/* Go on for up to `cycles` more. While the core is held, only what is on the wire moves. */
int esp_run(Esp *e, uint64_t cycles)
{
    uint64_t limit = e->cycles + cycles;
    e->spin.have = false; /* the host may have done something */
    while (e->cycles < limit && e->state == ESP_RUNS) {
        uint64_t bite = e->dogs ? esp_cycle(e, e->bite) : ESP_NEVER;
        esp_core_run(e, bite < limit ? bite : limit);
        if (e->stop == ESP_STOP_IDLE) return RAN_IDLE;
        bitten(e);
    }
    if (e->state == ESP_RUNS) return RAN_TO_LIMIT;
    for (uint64_t next = esp_uart_next(e); next != ESP_NEVER; next = esp_uart_next(e)) {
        uint64_t cycle = esp_cycle(e, next);
        if (cycle > e->cycles) e->cycles = cycle;
        esp_sync(e);
    }
    return e->state == ESP_LOCKED ? RAN_DEAD : RAN_IDLE;
}

/* ---- the host's side ----------------------------------------------------------------------------------------- */

uint32_t esp_room(const Esp *e) { return ESP_HOST_BYTES - (e->uart.from_host.head - e->uart.from_host.tail); }

uint32_t esp_give(Esp *e, const uint8_t *bytes, uint32_t count)
{
    EspRing *ring = &e->uart.from_host;
    uint32_t room = esp_room(e), taken = count < room ? count : room;
    esp_sync(e);
    bool resting = ring->head == ring->tail;
    for (uint32_t i = 0; i < taken; i++) ring->bytes[ring->head++ % ESP_HOST_BYTES] = bytes[i];
    if (resting && taken) esp_uart_given(e);
    return taken;
}

uint32_t esp_take(Esp *e, uint8_t *bytes, uint32_t count)
{
    EspRing *ring = &e->uart.to_host;
    esp_sync(e);
    uint32_t held = ring->head - ring->tail, given = held < count ? held : count;
    for (uint32_t i = 0; i < given; i++) bytes[i] = ring->bytes[ring->tail++ % ESP_HOST_BYTES];
    return given;
}

void esp_clock(const Esp *e, EspClock *clock)
{
    *clock = (EspClock){
        .cycles = e->cycles, .nanoseconds = esp_ps(e) / 1000u, .instructions = e->instructions,
        .hz = 1000000000000u / e->cycle_ps, .pc = e->pc, .state = (uint32_t)e->state,
    };
}

bool esp_next_note(Esp *e, EspNote *out)
{
    if (e->note_head == e->note_tail) return false;
    *out = e->notes[e->note_tail++ % ESP_NOTES];
    return true;
}
