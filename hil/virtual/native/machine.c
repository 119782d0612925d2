/* The board: memory, power, the schedule of its cores, and the few calls that the host process makes.
 *
 * Both cores run: the one that is behind runs until it is QUANTUM cycles ahead, core 0 first. One runs: it runs until
 * the limit, or until it does what the other could wake from. Nothing here looks at the host's clock, so that the
 * order depends on the program and its input alone.
 */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

/* How late one core may see what the other stored: about what three barriers cost. Shorter turns are slower. */
enum { QUANTUM = 400 };

/* Why machine_run came back; native.py knows these by number. */
enum { RAN_TO_LIMIT = 0, RAN_IDLE = 1, RAN_DEAD = 2 };

typedef struct {
    uint64_t cycles, nanoseconds, instructions[CORES];
    uint32_t pc[CORES], state[CORES];
    uint64_t hz;
} Clock;

Machine *machine_open(const char *name, uint8_t *rom, uint8_t *flash, uint8_t *ram);
void machine_close(Machine *m);
void machine_power(Machine *m, uint64_t world);
void machine_skip(Machine *m, bool on);
int machine_run(Machine *m, uint64_t cycles);
int machine_until(Machine *m, uint64_t ps, bool passing);
void machine_rest(Machine *m, uint64_t ps);
uint32_t machine_give(Machine *m, const uint8_t *bytes, uint32_t count);
uint32_t machine_take(Machine *m, uint8_t *bytes, uint32_t count);
uint32_t machine_room(const Machine *m);
void machine_clock(const Machine *m, Clock *clock);
bool machine_note(Machine *m, Note *out);

/* ---- memory -------------------------------------------------------------------------------------------------- */

uint32_t load32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

void store32(uint8_t *at, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static bool within(uint32_t address, uint32_t bytes, uint32_t base, uint32_t size)
{
    return address >= base && address - base <= size && bytes <= size - (address - base);
}

/* Host memory behind an address of the board; NULL where there is none, or none that can be written. */
uint8_t *memory_at(Machine *m, uint32_t address, uint32_t bytes, bool writable)
{
    const Chip *chip = m->chip;
    if (within(address, bytes, RAM_BASE, chip->ram_bytes)) return m->ram + (address - RAM_BASE);
    if (writable) return NULL;
    if (within(address, bytes, chip->rom_at, chip->rom_bytes)) return m->rom + (address - chip->rom_at);
    for (uint32_t i = 0; i < chip->flash_windows; i++)
        if (within(address, bytes, chip->flash_at[i], chip->flash_bytes)) return m->flash + (address - chip->flash_at[i]);
    return NULL;
}

/* SRAM after power-on holds no zeros that a program could rely on by mistake, and the same words in every run. */
static void fill_ram(Machine *m)
{
    uint32_t word = 0x9e3779b9u;
    for (uint32_t at = 0; at < m->chip->ram_bytes; at += 4) {
        word ^= word << 13;
        word ^= word >> 17;
        word ^= word << 5;
        store32(m->ram + at, word | 0x01010101u);
    }
}

void note(Machine *m, uint32_t kind, uint32_t core, uint32_t a, uint32_t b)
{
    if (m->note_head - m->note_tail == NOTES) return;
    m->notes[m->note_head++ % NOTES] = (Note){kind, core, a, b};
}

/* ---- power --------------------------------------------------------------------------------------------------- */

/* Reset of the whole chip. SRAM and the watchdog's scratch registers live through it. */
static void chip_reset(Machine *m)
{
    uint32_t scratch[8];
    memcpy(scratch, bus_bank(m, BLOCK_WATCHDOG) + 3, sizeof scratch);
    bus_reset(m);
    memcpy(bus_bank(m, BLOCK_WATCHDOG) + 3, scratch, sizeof scratch);
    watchdog_reset(m);
    for (uint32_t i = 0; i < UARTS; i++) uart_reset(m, i);
    spi_reset(m);
    timer_reset(m);
    sio_reset(m);
    w5500_pins(m, m->now);
    m->ssi_count = 0;
    m->restart = false;
    m->timer_prescaler = 0;
    m->flash_half_at = UINT32_MAX;
    clocks_reset(m);
    for (uint32_t i = 0; i < m->chip->cores; i++) core_reset(&m->core[i]);
}

/* Off, and on again at the moment `world`: SRAM is lost, its own time begins anew, bytes on their way are gone. */
void machine_power(Machine *m, uint64_t world)
{
    fill_ram(m);
    m->now = 0;
    m->reason = 0;
    m->nanoseconds = m->timer = m->watchdog = (Counter){0, 0, 0, 0, 1};
    memset(m->uart, 0, sizeof m->uart);
    network_power(m, world);
    memset(m->bank, 0, sizeof m->bank);
    for (uint32_t i = 0; i < CORES; i++) {
        m->core[i].instructions = m->core[i].effects = 0;
        for (uint32_t k = 0; k < BREAKPOINTS; k++)
            if (m->core[i].debug.hooked[k]) uc_hook_del(m->core[i].uc, m->core[i].debug.hooks[k]);
        m->core[i].debug = (Debug){0};
    }
    chip_reset(m);
}

/* Memory has been changed behind unicorn's back. */
void machine_flush(Machine *m)
{
    if (!m->written) return;
    m->written = false;
    for (uint32_t i = 0; i < m->chip->cores; i++) uc_ctl_flush_tb(m->core[i].uc);
}

/* A core, or a debugger by way of it, asked for a reset of the chip. */
void machine_restart(Machine *m)
{
    note(m, NOTE_RESTART, 0, m->reason, 0);
    chip_reset(m);
}

static uc_err map_memory(const Machine *m, uc_engine *uc)
{
    const uint32_t code = UC_PROT_READ | UC_PROT_EXEC;
    const Chip *chip = m->chip;
    uc_err error = uc_mem_map_ptr(uc, chip->rom_at, chip->rom_bytes, code, m->rom);
    for (uint32_t i = 0; i < chip->flash_windows && error == UC_ERR_OK; i++)
        error = uc_mem_map_ptr(uc, chip->flash_at[i], chip->flash_bytes, code, m->flash);
    if (error == UC_ERR_OK) error = uc_mem_map_ptr(uc, RAM_BASE, chip->ram_bytes, UC_PROT_ALL, m->ram);
    return error;
}

/* UC_MODE_MCLASS would force a Cortex-M33, whatever the model. */
static uc_err open_core(Machine *m, uint32_t index)
{
    Core *core = &m->core[index];
    core->machine = m;
    core->index = index;
    uc_err error = uc_open(UC_ARCH_ARM, UC_MODE_THUMB, &core->uc);
    if (error == UC_ERR_OK) error = uc_ctl_set_cpu_model(core->uc, m->chip->cpu);
    if (error == UC_ERR_OK) error = map_memory(m, core->uc);
    if (error == UC_ERR_OK) error = bus_map(m, core);
    if (error == UC_ERR_OK) error = flash_map(m, core);
    if (error == UC_ERR_OK) error = core_open(core);
    return error;
}

void machine_close(Machine *m)
{
    for (uint32_t i = 0; i < CORES; i++)
        if (m->core[i].uc) uc_close(m->core[i].uc);
    free(m);
}

/* The three memories belong to the caller and outlive the machine. NULL: no such chip, or unicorn refused. */
Machine *machine_open(const char *name, uint8_t *rom, uint8_t *flash, uint8_t *ram)
{
    static const Chip *const chips[] = {&chip_rp2040, &chip_rp2350, &chip_nrf52840, &chip_stm32l4r5};
    const Chip *chip = NULL;
    for (size_t i = 0; i < sizeof chips / sizeof *chips; i++)
        if (strcmp(chips[i]->name, name) == 0) chip = chips[i];
    Machine *m = chip ? calloc(1, sizeof *m) : NULL;
    if (!m) return NULL;
    m->chip = chip;
    m->rom = rom;
    m->flash = flash;
    m->ram = ram;
    m->limit_ps = NEVER;
    m->slow_num = m->slow_den = 1;
    memset(m->settings, 0xff, sizeof m->settings);
    for (uint32_t i = 0; i < CORES; i++) m->core[i].state = CORE_HELD;
    for (uint32_t i = 0; i < chip->cores; i++) {
        if (open_core(m, i) == UC_ERR_OK) continue;
        machine_close(m);
        return NULL;
    }
    machine_power(m, 0);
    return m;
}

/* ---- schedule ------------------------------------------------------------------------------------------------ */

/* The next thing that happens without any core: a byte on the wire, the watchdog's end. */
uint64_t next_event(Machine *m, uint64_t cycle)
{
    uart_sync(m, cycle);
    network_sync(m, cycle);
    uint64_t wire = uart_next(m), network = network_next(m);
    uint64_t dog = m->watchdog_end == NEVER ? NEVER : counter_when(&m->watchdog, m->watchdog_end);
    if (network < wire) wire = network;
    return wire < dog ? wire : dog;
}

static void wake(Machine *m, Core *core)
{
    if (core->state != CORE_WAITS_EVENT || !core->event) return;
    core->event = false;
    core->state = CORE_RUNS;
    if (core->cycles < m->now) core->cycles = m->now;
    if (core->pc - m->chip->rom_at < m->chip->rom_bytes) uc_ctl_flush_tb(core->uc); /* about to run code that the other core put in RAM */
    effect(core);
}

static bool both_spin(const Machine *m)
{
    const Core *a = &m->core[0], *b = &m->core[1];
    uint64_t effects = a->effects + b->effects;
    return a->spun && b->spun && a->spun_effects == effects && b->spun_effects == effects && a->spun_stable == NEVER &&
           b->spun_stable == NEVER;
}

/* Nobody runs: time jumps to the next event, or stands still. */
static bool nobody_runs(Machine *m)
{
    uint64_t event = next_event(m, m->now);
    if (event == NEVER && (!m->passing || m->limit == NEVER)) return false;
    uint64_t to = event < m->limit ? event : m->limit;
    if (to > m->now) m->now = to;
    uart_sync(m, m->now);
    network_sync(m, m->now);
    return true;
}

/* The budget of whichever core is to run next. */
static Core *choose(Machine *m, uint64_t *budget)
{
    Core *a = &m->core[0], *b = &m->core[1];
    bool a_runs = core_runs(a), b_runs = core_runs(b);
    *budget = m->limit;
    if (!a_runs && !b_runs) return NULL;
    if (!a_runs || !b_runs) return a_runs ? a : b;
    Core *behind = a->cycles <= b->cycles ? a : b, *ahead = behind == a ? b : a;
    if (ahead->cycles + QUANTUM < *budget) *budget = ahead->cycles + QUANTUM;
    return behind;
}

static bool watchdog_bites(Machine *m, uint64_t cycle)
{
    if (m->watchdog_end == NEVER || counter_at(&m->watchdog, cycle) < m->watchdog_end) return false;
    m->reason = 1;
    return true;
}

/* Go on up to the limit, and say why it ended. */
static int run(Machine *m)
{
    for (uint32_t i = 0; i < CORES; i++) m->core[i].have = m->core[i].spun = false; /* the host may have done something */
    for (;;) {
        uint64_t budget = 0;
        if (m->restart || watchdog_bites(m, m->now)) machine_restart(m);
        machine_flush(m);
        for (uint32_t i = 0; i < CORES; i++) wake(m, &m->core[i]);
        Core *core = choose(m, &budget);
        if (!core) {
            if (!nobody_runs(m)) return m->core[0].state == CORE_LOCKED && !m->core[0].debug.halted ? RAN_DEAD : RAN_IDLE;
            if (m->now >= m->limit) return RAN_TO_LIMIT;
            continue;
        }
        if (core->cycles >= m->limit) return RAN_TO_LIMIT;
        if (m->watchdog_end != NEVER) {
            uint64_t end = counter_when(&m->watchdog, m->watchdog_end);
            if (end < budget) budget = end;
        }
        core_run(core, budget);
        if (core->stop == STOP_IDLE) return RAN_IDLE;
        if (core_runs(&m->core[0]) && core_runs(&m->core[1]) && !m->passing && both_spin(m))
            return RAN_IDLE;
    }
}

/* Go on for up to `cycles` more. */
int machine_run(Machine *m, uint64_t cycles)
{
    m->limit = m->now + cycles;
    m->limit_ps = NEVER;
    m->passing = false;
    return run(m);
}

/* Go on up to the moment `ps` of the world's time; `passing`: even if nothing happens before it. */
int machine_until(Machine *m, uint64_t ps, bool passing)
{
    m->limit = network_cycle(m, ps);
    m->limit_ps = ps;
    m->passing = passing;
    return run(m);
}

/* Nothing happens up to the moment `ps`, although time passes: for a board that is idle. Its loops go on from where they
 * are, whatever the time, so that what comes next finds it in the same state as when time had stood still. */
void machine_rest(Machine *m, uint64_t ps)
{
    uint64_t cycle = network_cycle(m, ps);
    if (cycle == NEVER || cycle <= m->now) return;
    for (uint32_t i = 0; i < CORES; i++)
        if (core_runs(&m->core[i])) m->core[i].cycles += cycle - m->now;
    m->now = cycle;
}

void machine_skip(Machine *m, bool on) { m->no_skip = !on; }

/* ---- the host's side ----------------------------------------------------------------------------------------- */

uint32_t machine_room(const Machine *m) { return HOST_BYTES - (m->uart[0].from_host.head - m->uart[0].from_host.tail); }

/* Put bytes on the wire to UART0's RX; how many were taken. */
uint32_t machine_give(Machine *m, const uint8_t *bytes, uint32_t count)
{
    Ring *ring = &m->uart[0].from_host;
    uint32_t room = machine_room(m), taken = count < room ? count : room;
    uart_sync(m, m->now);
    bool resting = ring->head == ring->tail;
    for (uint32_t i = 0; i < taken; i++) ring->bytes[ring->head++ % HOST_BYTES] = bytes[i];
    if (resting && taken) uart_given(m);
    return taken;
}

/* Bytes that have left UART0's TX. */
uint32_t machine_take(Machine *m, uint8_t *bytes, uint32_t count)
{
    Ring *ring = &m->uart[0].to_host;
    uart_sync(m, m->now);
    uint32_t held = ring->head - ring->tail, given = held < count ? held : count;
    for (uint32_t i = 0; i < given; i++) bytes[i] = ring->bytes[ring->tail++ % HOST_BYTES];
    return given;
}

void machine_clock(const Machine *m, Clock *clock)
{
    clock->cycles = m->now;
    clock->nanoseconds = counter_at(&m->nanoseconds, m->now);
    clock->hz = m->sys.num / m->sys.den;
    for (uint32_t i = 0; i < CORES; i++) {
        clock->instructions[i] = m->core[i].instructions;
        clock->pc[i] = m->core[i].pc;
        clock->state[i] = (uint32_t)m->core[i].state;
    }
}

bool machine_note(Machine *m, Note *out)
{
    if (m->note_head == m->note_tail) return false;
    *out = m->notes[m->note_tail++ % NOTES];
    return true;
}
