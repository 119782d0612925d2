/* A virtual microcontroller: one or two Cortex-M cores on unicorn, and the devices that firmware touches often. Which one
 * it is, a Chip says: chip_*.c.
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

#include "spi.h"
#include "w5500.h"

#define NEVER UINT64_MAX
#define CORES 2
#define RAM_BASE 0x20000000u
#define MOST_RAM 0xa0000u
#define MOST_FLASH 0x400000u
#define MOST_BLOCKS 40u
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
#define FLASH_PAGE 4096u /* of which it is kept whether code was run from there */
#define CODE_PAGE 1024u /* the smallest page that unicorn translates for this core */

/* What a block of code costs; found by the address of its first instruction. */
typedef struct { uint32_t pc; uint16_t bytes, cycles, instructions; uint8_t flags, penalty; } Block;

typedef enum { STOP_NONE, STOP_BUDGET, STOP_WFE, STOP_WFI, STOP_IDLE, STOP_ERROR, STOP_BREAKPOINT,
               STOP_STEPPED } Stop;
typedef enum { CORE_RUNS, CORE_WAITS_EVENT, CORE_WAITS_INTERRUPT, CORE_LOCKED, CORE_HELD } CoreState;

/* SysTick (ARMv6-M ARM B3.3): `value` was the count at cycle `base`. */
typedef struct { uint64_t base, seen; uint32_t control, reload, value; } SysTick;

/* DWT's cycle counter (ARMv8-M ARM, D1.2.69): `value` was the count at cycle `base`. */
typedef struct { uint64_t base; uint32_t control, value; } CycleCounter;

/* SIO's integer divider, one for each core (2.3.1.5). */
typedef struct { uint64_t ready; uint32_t dividend, divisor, quotient, remainder; bool dirty, is_signed; } Divider;

typedef struct { uint32_t words[8]; uint32_t head, count; bool overflow, underflow; } Mailbox;

/* What a debugger sees and sets (debug.c); it lives through resets. `catches`: of DEMCR; `data`: DCRDR; `status`: DFSR;
 * `unit`: FP_CTRL. `hooked`: where unicorn stops for comparator i, 0: nowhere. */
#define BREAKPOINTS 4u
enum { DFSR_HALTED = 1, DFSR_BKPT = 2, DFSR_VCATCH = 8 };
typedef struct {
    bool halted, was_reset;
    uint32_t control, catches, data, status, unit, comparators[BREAKPOINTS], hooked[BREAKPOINTS];
    uc_hook hooks[BREAKPOINTS];
} Debug;

typedef struct Machine Machine;

typedef struct Core {
    uc_engine *uc;
    Machine *machine;
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
    uint64_t seen; /* the other core's effects when this one ran last */
    uint32_t snap[SNAP];

    SysTick systick;
    CycleCounter counter;
    Debug debug;
    uint32_t single; /* instructions that may begin yet while one is stepped, and 1; 0: all */
    Divider divider;
    Mailbox inbox;
    uint32_t vtor, ppb[1024];

    uint8_t code_pages[MOST_RAM / CODE_PAGE], flash_pages[MOST_FLASH / FLASH_PAGE];
    Block blocks[1u << COST_BITS];
} Core;

/* ---- the board ----------------------------------------------------------------------------------------------- */

typedef struct { uint8_t bytes[HOST_BYTES]; uint32_t head, tail; } Ring;

/* A UART: what its characters do (uart.c), and the registers of a PL011 (pl011.c). Times are exact: rx_rem and tx_rem are
 * the fractions of a cycle, in units of 1 / char_den. `depth`: of both FIFOs; `mask`: the bits of a character; `got`, `gone`:
 * a character has been received, sent; `hold_at`: characters held at which RTS stops the host, 0 for none; `held`: it does. */
typedef struct {
    bool sends, receives, loops, got, gone, held;
    uint32_t depth, mask, hold_at;
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

/* ---- network -------------------------------------------------------------------------------------------------- */

#define UARTS 2
#define FRAME_BYTES 600u              /* of the longest frame, and some */
#define LINE_BYTES (FRAME_BYTES + 5u) /* stuffed, between two zeros */
#define FRAMES 64u                    /* waiting, in either direction; a power of two */

/* A frame and a moment of the world's time: when it was whole at the switch, or from when it may be delivered. */
typedef struct { uint64_t ps; uint32_t bytes; uint8_t data[FRAME_BYTES]; } Frame;
typedef struct { Frame frames[FRAMES]; uint32_t head, tail; } FrameQueue;

/* The way into a network: what a device that carries frames must do. All that it needs is in m->network. */
typedef struct {
    void (*sync)(Machine *m, uint64_t cycle);      /* let everything happen up to `cycle` */
    uint64_t (*next)(const Machine *m);            /* cycle at which something happens of itself; NEVER */
    uint64_t (*soonest)(const Machine *m);         /* picoseconds before which no more frames can be whole */
    void (*given)(Machine *m);                     /* a frame was put into `in` */
    void (*clocks)(Machine *m);                    /* cycles and picoseconds go on in another proportion */
    void (*power)(Machine *m);                     /* off and on */
} NetworkPort;

/* What a board is plugged into. A byte takes byte_num / byte_den picoseconds on the line to the board. */
typedef struct {
    const NetworkPort *port; /* NULL: nothing is plugged in */
    uint64_t byte_num, byte_den, lost;
    FrameQueue in, out;
} Network;

/* The two directions of UART1's line (line.c). */
typedef enum { LINE_RESTS, LINE_STARTS, LINE_CARRIES, LINE_HELD } LinePhase;
typedef struct {
    uint8_t partial[LINE_BYTES], stuffed[LINE_BYTES];
    uint32_t used, at, bytes; /* used: of partial; at, bytes: of stuffed */
    bool spoilt;
    LinePhase phase;
    uint64_t start, event_ps, event, free, rem; /* rem: fraction of free, in 1 / byte_den */
} Line;

/* Something worth a line on stderr: NOTE_*, which core, and two numbers. */
typedef struct { uint32_t kind, core, a, b; } Note;

/* What unicorn hands back with each access to a block of registers. */
typedef struct { Core *core; uint32_t index; } Window;

typedef struct Chip Chip;

struct Machine {
    const Chip *chip;
    Core core[CORES];
    uint8_t *rom, *flash, *ram;
    uint64_t now;      /* the latest cycle that any core has reached */
    uint64_t limit;
    bool no_skip;      /* run polling loops in full: to prove that skipping changes nothing */
    bool written;      /* the host, or the ROM, has changed memory that may be translated */
    bool restart;      /* a core asked for a reset of the chip */
    uint32_t reason;   /* WATCHDOG_REASON after it */
    uint32_t bank[MOST_BLOCKS][1024];
    Window window[CORES][MOST_BLOCKS];
    uint32_t resets, psm_off, locks, gpio_out, gpio_oe;
    Rate sys, ref, peri, tick, watchdog_tick, timer_tick;
    uint64_t xosc_stable;
    Counter nanoseconds, timer, watchdog;
    Counter world;            /* picoseconds of the time that all boards of a cluster share */
    uint64_t limit_ps;        /* of this run; NEVER if only `limit` counts */
    uint64_t slow_num, slow_den; /* its clock runs slow_num / slow_den times slower than it should */
    bool passing;             /* time passes although nothing happens: no run ends early */
    uint64_t watchdog_end; /* in watchdog ticks; NEVER when off */
    uint32_t timer_high, timer_write_low, alarm[4], armed, alarm_raised;
    uint32_t rosc_state;
    uint32_t timer_prescaler;  /* TIM2's, since its last update */
    uint32_t flash_half, flash_half_at; /* the first word of a double word, see stm32_flash.c */
    uint32_t ssi_reply[16], ssi_count, ssi_command;
    Uart uart[UARTS];
    Network network;
    Line line;
    Spi spi;
    W5500 w5500;
    Cable cable;
    uint32_t settings[256];   /* words beside flash that live as long: nRF52840's UICR */
    uint32_t note_head, note_tail;
    Note notes[NOTES];
};

/* Things worth a line on stderr; texts are in native.py. */
enum {
    NOTE_FAULT = 1, NOTE_LOCKUP, NOTE_RESTART, NOTE_INTERRUPTS, NOTE_WFI, NOTE_CLOCK_STOPPED, NOTE_INTERPOLATOR,
    NOTE_OVERRUN, NOTE_TX_LOST, NOTE_NO_FRAME, NOTE_SPI, NOTE_W5500, NOTE_W5500_FULL,
    NOTE_TX_BUSY, NOTE_FLASHER, NOTE_OVERSPEED
};
#define SHADOW 0x60000000u /* where unicorn finds flash while stores reach it; no address of any of the chips */

enum {
    CAUSE_READ = 1, CAUSE_WRITE, CAUSE_FETCH, CAUSE_UNDEFINED, CAUSE_BREAKPOINT, CAUSE_UNALIGNED, CAUSE_SVC, CAUSE_STATE
};
void note(Machine *m, uint32_t kind, uint32_t core, uint32_t a, uint32_t b);

/* ---- buses --------------------------------------------------------------------------------------------------- */

typedef struct { Machine *m; Core *core; uint64_t now; uint32_t offset; uint32_t *regs; bool peek; } Access;
typedef uint32_t ReadRegister(const Access *at);
typedef void WriteRegister(const Access *at, uint32_t value);

/* Blocks that other code asks for by name; the rest is PLAIN. */
typedef enum {
    BLOCK_PLAIN, BLOCK_CLOCKS, BLOCK_XOSC, BLOCK_PLL_SYS, BLOCK_PLL_USB, BLOCK_WATCHDOG, BLOCK_TIMER, BLOCK_TICKS,
    BLOCK_UART, BLOCK_UART1, BLOCK_PINS, BLOCK_PADS, BLOCK_SPI, BLOCK_FLASH,
    BLOCK_POWER, BLOCK_GPIO
} BlockName;

/* A block of registers in the address map, and what an access to it costs beyond a plain load or store. */
typedef struct {
    uint32_t base;
    ReadRegister *read;
    WriteRegister *write;
    int8_t read_wait, write_wait;
    bool aliases;     /* +0x1000 XOR, +0x2000 set, +0x3000 clear (2.1.2) */
    int8_t reset_bit; /* in RESETS; -1: none, or not held here */
    BlockName name;
} BlockInfo;

/* `count` registers from `address`, `step` bytes apart, that are `value` after reset, not 0. */
typedef struct { uint32_t address, value, count, step; } ResetValue;

/* Cost of an instruction: `second` is the halfword behind the first. */
typedef struct { uint32_t cycles, penalty, flags; } Cost;
typedef Cost CostOf(uint32_t word, uint32_t second);

/* Where clk_sys and what counts come from: sets the machine's Rates from the registers, as they are at `cycle`. */
typedef void RatesOf(Machine *m, uint64_t cycle);
/* What the registers of a UART decide: characters a second, and its state after reset. */
typedef struct {
    Rate (*characters)(Machine *m, const Uart *uart);
    void (*reset)(Uart *uart);
} UartKind;

/* Flash that code programs by storing to it. `open`: whether stores get there now; `store`: what one does at `offset`. */
typedef struct {
    bool (*open)(Machine *m);
    void (*store)(Machine *m, uint32_t offset, uint32_t bytes, uint32_t value);
} StoredFlash;

/* Everything in which one microcontroller differs from another. */
struct Chip {
    const char *name;
    int cpu; /* unicorn's number for the core */
    uint32_t cores;
    CostOf *cost;
    uint32_t entry_cycles, exit_cycles; /* of an exception */
    uint32_t rom_at;        /* a boot ROM at 0, or what else can only be read: its last word is never run */
    uint32_t rom_bytes, flash_bytes, ram_bytes;
    uint32_t flash_at[4], flash_windows; /* addresses at which flash is seen */
    const BlockInfo *blocks;
    uint32_t block_count;
    const ResetValue *values;
    uint32_t value_count;
    RatesOf *rates;
    const UartKind *uart;
    const StoredFlash *stored_flash; /* NULL: no store reaches flash */
    uint32_t resets_all, psm_all, psm_core1;
    uint32_t divider_bits;  /* of the fraction of clk_sys's divider */
    uint32_t ref_divisions; /* clk_ref is divided by at most this; a power of two */
    uint32_t rosc_hz;
    uint32_t mailbox_words;
    bool has_divider;       /* SIO's integer divider */
    uint32_t gpio_step;     /* bytes between GPIO_OUT and GPIO_OUT_SET */
    bool has_ticks;         /* TICKS, and TIMER_LOCKED and TIMER_SOURCE */
    bool watchdog_by_two;   /* erratum RP2040-E1 */
    bool fault_status;      /* CFSR, HFSR and BFAR say what a fault was */
    bool breakpoints_v2;    /* a comparator of the breakpoint unit has a whole address */
    uint32_t cpuid, vtor_mask;
};
extern const Chip chip_rp2040, chip_rp2350, chip_nrf52840, chip_stm32l4r5;

/* Bits of Machine.resets for blocks of the STM32L4R5 whose clock is off. */
enum { STM32_PWR, STM32_TIM2, STM32_LPUART1, STM32_GPIOG };

uint32_t storage_read(const Access *at);
void storage_write(const Access *at, uint32_t value);
ReadRegister clocks_read, resets_read, psm_read, xosc_read, rosc_read, pll_read, ssi_read, pl011_read, pl011_1_read,
    nrf_clock_read, nrf_timer_read, nrf_uart_read, nvmc_read, uicr_read, stm32_rcc_read,
    stm32_pwr_read, stm32_tim_read, stm32_flash_read, stm32_uart_read, spi_read, timer_read, watchdog_read, ticks_read, sio_read, ppb_read, dwt_read;
WriteRegister clocks_write, resets_write, psm_write, xosc_write, pll_write, ssi_write, pl011_write, pl011_1_write,
    nrf_clock_write, nrf_timer_write, nrf_uart_write, nvmc_write, uicr_write, stm32_rcc_write, stm32_pwr_write,
    stm32_tim_write, stm32_flash_write, stm32_uart_write, stm32_gpio_write, spi_write, timer_write, watchdog_write, ticks_write, sio_write, ppb_write, dwt_write, flasher_write, read_only;

uc_err bus_map(Machine *m, Core *core);
uc_err flash_map(Machine *m, Core *core);
bool flash_store(Machine *m, uint32_t address, uint32_t bytes, uint32_t value); /* false: no store gets there */
void flash_and(Machine *m, uint32_t offset, uint32_t value, uint32_t bytes);    /* zeros of `value` become zeros */
void flash_erase(Machine *m, uint32_t offset, uint32_t bytes);
bool bus_owns(const Machine *m, uint32_t address);
void bus_reset(Machine *m);
uint32_t *bus_bank(Machine *m, BlockName name);
void bus_reset_block(Machine *m, uint32_t index);
bool bus_in_reset(const Machine *m, BlockName name);

/* Something changed that another core, or this one's loop, could see. */
static inline void effect(Core *core) { core->effects++; core->quiet = 0; core->have = false; }
/* What was read stays as it is until `cycle`. */
static inline void stable_until(Core *core, uint64_t cycle) { if (cycle < core->stable) core->stable = cycle; }

/* Where timer.c keeps what RP2040's TIMER and RP2350's have at different offsets. */
enum { TIMER_PAUSE = 0x30, TIMER_LOCKED = 0x80, TIMER_SOURCE = 0x84 };

/* ---- parts --------------------------------------------------------------------------------------------------- */

uint8_t *memory_at(Machine *m, uint32_t address, uint32_t bytes, bool writable);
uint32_t load32(const uint8_t *at);
void store32(uint8_t *at, uint32_t value);

CostOf cost_m0plus, cost_instructions;
void cost_block(Machine *m, Block *block, uint32_t pc, uint32_t bytes);

uc_err core_open(Core *core);
void core_reset(Core *core);
void core_run(Core *core, uint64_t budget);
void core_cut_short(Core *core);
uint64_t core_time(const Core *core, uint32_t pc, uint64_t *instructions);
/* An access to a device, as unicorn reports it. */
typedef struct { uint32_t address, bytes; bool writes; } Wanted;
uint32_t where(Core *core, const Wanted *wanted);

bool spin_step(Core *core, uint32_t pc);

/* Whether it is its turn, now and then. */
static inline bool core_runs(const Core *core) { return core->state == CORE_RUNS && !core->debug.halted; }

bool debug_enabled(const Core *core);
void debug_halt(Core *core, uint32_t why);
void debug_reset(Core *core);
void debug_faulted(Core *core);
void debug_changed(Machine *m, uint32_t offset, uint32_t bytes);
void machine_flush(Machine *m);
void machine_restart(Machine *m);

void exception_reset(Core *core);
void exception_take(Core *core, uc_err error);
uint32_t exception_number(Core *core);

RatesOf rp2_rates, nrf_rates, stm32_rates;
extern const StoredFlash flash_nvmc, flash_stm32;
void clocks_reset(Machine *m);
void clocks_update(Machine *m, uint64_t cycle);

extern const UartKind uart_pl011, uart_nrf, uart_stm32;
void uart_stm32_follow(Machine *m, uint64_t cycle);
void uart_reset(Machine *m, uint32_t index);
void uart_rate(Machine *m);
void uart_look(Machine *m, Uart *uart, uint64_t cycle); /* everything that has happened to it up to `cycle` */
uint64_t uart_event(const Machine *m, const Uart *uart);
bool uart_get(Uart *uart, uint64_t cycle, uint32_t *entry); /* the next character received, and UART_OVERRUN */
void uart_put(Uart *uart, uint64_t cycle, uint8_t byte);
void uart_go(Uart *uart, uint64_t cycle); /* it may send now */
void uart_flow(Uart *uart, uint64_t cycle); /* what is held, or hold_at, has changed */
void uart_sync(Machine *m, uint64_t cycle);
uint64_t uart_next(const Machine *m);
void uart_given(Machine *m);
void uart_receive(Machine *m, Uart *uart, uint8_t byte);
bool pl011_ready(const Uart *uart);
enum { UART_OVERRUN = 0x800, UART_RIS_OVERRUN = 0x400, UART_RSR_OVERRUN = 8, UART_FIFO = 32 };

/* Stuffing of frames for lines of bytes (stuff.c); both give the bytes written, 0 if there is no frame or no room. */
uint32_t stuff(const uint8_t *frame, uint32_t bytes, uint8_t *to, uint32_t room);
uint32_t unstuff(const uint8_t *from, uint32_t bytes, uint8_t *to, uint32_t room);

void line_sent(Machine *m, uint8_t byte, uint64_t cycle);
uint64_t line_next(const Machine *m);
void line_event(Machine *m);
void line_ready(Machine *m, uint64_t cycle);

extern const NetworkPort port_uart, port_ethernet;
uint64_t network_ps(const Machine *m, uint64_t cycle);    /* the world's time at `cycle` */
uint64_t network_cycle(const Machine *m, uint64_t ps);    /* the first cycle at or after it */
void network_sync(Machine *m, uint64_t cycle);
uint64_t network_next(const Machine *m);
void network_clocks(Machine *m, uint64_t cycle);
void network_power(Machine *m, uint64_t ps);
void network_send(Machine *m, uint64_t ps, const uint8_t *frame, uint32_t bytes); /* it was whole at `ps` */
const Frame *network_waiting(const Machine *m);           /* the next frame for the board; NULL */
void network_taken(Machine *m);                           /* that frame is not needed any more */

void spi_reset(Machine *m);
void spi_rate(Machine *m);
void spi_sync(Machine *m, uint64_t cycle);
void w5500_power(Machine *m);
void w5500_pins(Machine *m, uint64_t cycle);
uint8_t w5500_byte(Machine *m, uint64_t cycle, uint8_t byte);
uint32_t w5500_interrupt(const Access *at);
void w5500_arrived(Machine *m, const Frame *frame);
void w5500_left(Machine *m);
void ethernet_send(Machine *m, uint64_t cycle, const uint8_t *frame, uint32_t bytes, bool arrives);
void ethernet_sync(Machine *m, uint64_t cycle);

void timer_reset(Machine *m);
void watchdog_reset(Machine *m);
void sio_reset(Machine *m);
void systick_reset(Core *core);

uint64_t next_event(Machine *m, uint64_t cycle);

#endif
