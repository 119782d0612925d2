/* A virtual RP2040: two Cortex-M0+ cores on unicorn, and the devices that firmware touches often.
 *
 * The unit of virtual time is one clk_sys cycle since power-on. Everything else (nanoseconds, microsecond ticks, UART
 * characters) is a rational number of cycles, so that no rounding builds up while the clocks stay as they are.
 * Section numbers in these files are those of the RP2040 data sheet unless another source is named.
 */
#ifndef HIL_MACHINE_H
#define HIL_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <unicorn/unicorn.h>

#define NEVER UINT64_MAX
#define CORES 2
#define ROM_BYTES 0x4000u
#define FLASH_BASE 0x10000000u
#define FLASH_BYTES 0x200000u
#define RAM_BASE 0x20000000u
#define RAM_BYTES 0x42000u
#define HOST_BYTES 65536u /* bytes on their way between UART and host; a power of two */
#define NOTES 64u

/* ---- time ---------------------------------------------------------------------------------------------------- */

/* A frequency in Hz, num / den. num 0: stopped. */
typedef struct { uint64_t num, den; } Rate;

/* Counts num / den per clk_sys cycle: `count` whole ones and rem / den of the next had passed at cycle `base`. */
typedef struct { uint64_t base, count, rem, num, den; } Counter;

Rate rate_make(uint64_t num, uint64_t den);
Rate rate_divide(Rate rate, uint64_t num, uint64_t den); /* rate * den / num */
void counter_rate(Counter *counter, uint64_t cycle, Rate rate, Rate sys);
uint64_t counter_at(const Counter *counter, uint64_t cycle);
uint64_t counter_when(const Counter *counter, uint64_t count); /* first cycle that has `count`; NEVER if it stands */
void counter_set(Counter *counter, uint64_t cycle, uint64_t count);

/* ---- one core ------------------------------------------------------------------------------------------------ */

enum { BLOCK_STORES = 1, BLOCK_WFE = 2, BLOCK_WFI = 4, BLOCK_YIELD = 8, BLOCK_SEV = 16 };
#define COST_BITS 15u
#define SNAP 17
#define CODE_PAGE 1024u /* the smallest page that unicorn translates for this core */

/* What a block of code costs; found by the address of its first instruction. */
typedef struct { uint32_t pc; uint16_t bytes, cycles, instructions; uint8_t flags, penalty; } Block;

typedef enum { STOP_NONE, STOP_BUDGET, STOP_WFE, STOP_WFI, STOP_IDLE, STOP_ERROR } Stop;
typedef enum { CORE_RUNS, CORE_WAITS_EVENT, CORE_WAITS_INTERRUPT, CORE_LOCKED, CORE_HELD } CoreState;

/* SysTick (ARMv6-M ARM B3.3): `value` was the count at cycle `base`. */
typedef struct { uint64_t base, seen; uint32_t control, reload, value; } SysTick;

/* SIO's integer divider, one for each core (2.3.1.5). */
typedef struct { uint64_t ready; uint32_t dividend, divisor, quotient, remainder; bool dirty, is_signed; } Divider;

typedef struct { uint32_t words[8]; uint32_t head, count; bool overflow, underflow; } Mailbox;

struct Machine;

typedef struct Core {
    uc_engine *uc;
    struct Machine *machine;
    uint64_t cycles, instructions, budget;
    uint32_t pc, fall, block, penalty; /* fall: end of the running block; penalty: owed if the next is elsewhere */
    uint32_t flags, access;            /* of the running block; where its next access to a device may be */
    Stop stop;
    CoreState state;
    uint32_t index;
    bool event;         /* the event register that WFE consumes */
    bool wait, yielded; /* the running block ends in WFE, in YIELD */
    int trap;           /* QEMU's exception number from the interrupt hook, or -1 */
    uint32_t touched;   /* the last page that was looked up, and for what: when that failed, the cause of a fault */
    uc_mem_type touched_how;

    /* Spin detection (spin.c). */
    uint32_t quiet, patience, polls, polls_needed, window;
    bool have, spun;
    uint32_t snap_pc;
    uint64_t snap_cycles, snap_instructions, stable, effects, spun_effects, spun_stable;
    uint32_t snap[SNAP];

    SysTick systick;
    Divider divider;
    Mailbox inbox;
    uint32_t vtor, ppb[1024];

    uint8_t code_pages[RAM_BYTES / CODE_PAGE];
    Block blocks[1u << COST_BITS];
} Core;

/* ---- the board ----------------------------------------------------------------------------------------------- */

typedef struct { uint8_t bytes[HOST_BYTES]; uint32_t head, tail; } Ring;

/* PL011 (4.2). Times are exact: rx_rem and tx_rem are the fractions of a cycle, in units of 1 / char_den. */
typedef struct {
    uint16_t rx[32];
    uint8_t tx[32];
    uint32_t rx_head, rx_count, tx_head, tx_count;
    bool overrun_next, shifting;
    uint8_t shift;
    uint32_t ibrd, fbrd, lcr, cr, ifls, imsc, ris, rsr, active_ibrd, active_fbrd;
    uint64_t char_num, char_den; /* cycles in a character; char_den 0: no rate */
    uint64_t tx_done, tx_rem, rx_due, rx_rem, rx_free, rx_free_rem;
    Ring from_host, to_host;
    uint64_t lost;
} Uart;

/* Something worth a line on stderr: NOTE_*, which core, and two numbers. */
typedef struct { uint32_t kind, core, a, b; } Note;

enum { BANKS = 22 };

/* What unicorn hands back with each access to a block of registers. */
typedef struct { Core *core; uint32_t index; } Window;

typedef struct Machine {
    Core core[CORES];
    uint8_t *rom, *flash, *ram;
    uint64_t now;      /* the latest cycle that any core has reached */
    uint64_t limit;
    bool no_skip;      /* run polling loops in full: to prove that skipping changes nothing */
    bool restart;      /* a core asked for a reset of the chip */
    uint32_t reason;   /* WATCHDOG_REASON after it */
    uint32_t bank[BANKS][1024];
    Window window[CORES][BANKS];
    uint32_t resets, psm_off, locks, gpio_out, gpio_oe;
    Rate sys, ref, peri, tick;
    uint64_t xosc_stable;
    Counter nanoseconds, timer, watchdog;
    uint64_t watchdog_end; /* in watchdog ticks; NEVER when off */
    uint32_t timer_high, timer_write_low, alarm[4], armed, alarm_raised;
    uint32_t rosc_state;
    uint32_t ssi_reply[16], ssi_count, ssi_command;
    Uart uart;
    uint32_t note_head, note_tail;
    Note notes[NOTES];
} Machine;

/* Things worth a line on stderr; texts are in native.py. */
enum {
    NOTE_FAULT = 1, NOTE_LOCKUP, NOTE_RESTART, NOTE_INTERRUPTS, NOTE_WFI, NOTE_CLOCK_STOPPED, NOTE_INTERPOLATOR,
    NOTE_OVERRUN, NOTE_TX_LOST
};
enum {
    CAUSE_READ = 1, CAUSE_WRITE, CAUSE_FETCH, CAUSE_UNDEFINED, CAUSE_BREAKPOINT, CAUSE_UNALIGNED, CAUSE_SVC, CAUSE_STATE
};
void note(Machine *m, uint32_t kind, uint32_t core, uint32_t a, uint32_t b);

/* ---- buses --------------------------------------------------------------------------------------------------- */

typedef struct { Machine *m; Core *core; uint64_t now; uint32_t offset; uint32_t *regs; bool peek; } Access;
typedef uint32_t ReadRegister(const Access *at);
typedef void WriteRegister(const Access *at, uint32_t value);

uint32_t storage_read(const Access *at);
void storage_write(const Access *at, uint32_t value);
ReadRegister clocks_read, resets_read, psm_read, xosc_read, rosc_read, pll_read, ssi_read, uart_read, timer_read,
    watchdog_read, sio_read, ppb_read;
WriteRegister clocks_write, resets_write, psm_write, xosc_write, pll_write, ssi_write, uart_write, timer_write,
    watchdog_write, sio_write, ppb_write, read_only;

uc_err bus_map(Machine *m, Core *core);
bool bus_owns(uint32_t address);
void bus_reset(Machine *m);
uint32_t *bus_bank(Machine *m, uint32_t base);
void bus_reset_bank(Machine *m, uint32_t base);

enum { RESET_PLL_SYS = 12, RESET_PLL_USB = 13, RESET_TIMER = 21, RESET_UART0 = 22 };
static inline bool in_reset(const Machine *m, uint32_t bit) { return (m->resets >> bit & 1u) != 0; }

/* Something changed that another core, or this one's loop, could see. */
static inline void effect(Core *core) { core->effects++; core->quiet = 0; core->have = false; }
/* What was read stays as it is until `cycle`. */
static inline void stable_until(Core *core, uint64_t cycle) { if (cycle < core->stable) core->stable = cycle; }

/* ---- parts --------------------------------------------------------------------------------------------------- */

uint8_t *memory_at(Machine *m, uint32_t address, uint32_t bytes, bool writable);
uint32_t load32(const uint8_t *at);
void store32(uint8_t *at, uint32_t value);

void cost_block(Machine *m, Block *block, uint32_t pc, uint32_t bytes);

uc_err core_open(Core *core);
void core_reset(Core *core);
void core_run(Core *core, uint64_t budget);
uint64_t core_time(const Core *core, uint32_t pc, uint64_t *instructions);
/* An access to a device, as unicorn reports it. */
typedef struct { uint32_t address, bytes; bool writes; } Wanted;
uint32_t where(Core *core, const Wanted *wanted);

bool spin_step(Core *core, uint32_t pc);

void exception_reset(Core *core);
void exception_take(Core *core, uc_err error);
uint32_t exception_number(Core *core);

void clocks_reset(Machine *m);
void clocks_update(Machine *m, uint64_t cycle);

void uart_reset(Machine *m);
void uart_rate(Machine *m);
void uart_sync(Machine *m, uint64_t cycle);
uint64_t uart_next(const Machine *m);
uint64_t uart_change(const Machine *m);
void uart_given(Machine *m);

void timer_reset(Machine *m);
void watchdog_reset(Machine *m);
void sio_reset(Machine *m);
void systick_reset(Core *core);

uint64_t next_event(Machine *m, uint64_t cycle);

#endif
