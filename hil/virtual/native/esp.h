/* A virtual ESP32-C3: one RV32IMC core on unicorn, and the devices that firmware touches after a direct boot.
 *
 * Virtual time is a count of core cycles; each instruction is one. An access to a device happens at the end of the block
 * of code that it is in. A cycle, a character of UART0 and a tick of the system timer are whole picoseconds, so nothing
 * is ever rounded. The boot ROM's serial loader is hil/virtual/esp/rom.py: while that listens, the core is held.
 * Chapters named in these files are those of the ESP32-C3 Technical Reference Manual.
 */
#ifndef HIL_ESP_H
#define HIL_ESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <unicorn/unicorn.h>

#define ESP_NEVER UINT64_MAX
#define ESP_FLASH_BYTES 0x400000u
#define ESP_CODE_AT 0x42000000u  /* flash as the core runs it */
#define ESP_CONST_AT 0x3c000000u /* and as it reads it (chapter "System and Memory") */
#define ESP_RAM_AT 0x3fc80000u
#define ESP_RAM_BYTES 0x60000u
#define ESP_DEVICES_AT 0x60000000u
#define ESP_DEVICES_BYTES 0xd1000u
#define ESP_PAGES 8u
#define ESP_REGISTERS 32u
#define ESP_COST_BITS 15u
#define ESP_HOST_BYTES 65536u /* on their way between UART0 and host; a power of two */
#define ESP_FIFO 128u
#define ESP_NOTES 16u

/* What a block of code costs; found by the address of its first instruction. */
typedef struct { uint32_t pc; uint16_t bytes, instructions; bool stores; } EspBlock;

typedef enum { ESP_HELD, ESP_RUNS, ESP_LOCKED } EspState;
typedef enum { ESP_STOP_NONE, ESP_STOP_BUDGET, ESP_STOP_IDLE, ESP_STOP_TRAP } EspStop;

/* Spin detection: see esp_spin.c. */
typedef struct {
    uint32_t quiet, patience, window, pc;
    bool have;
    uint64_t cycles, instructions, stable; /* at the beginning of the proof; until when what was read stays so, in ps */
    uint32_t registers[ESP_REGISTERS];
} EspSpin;

typedef struct { uint8_t bytes[ESP_HOST_BYTES]; uint32_t head, tail; } EspRing;
typedef struct { uint8_t bytes[ESP_FIFO]; uint32_t head, count; } EspFifo;

/* UART0 (chapter "UART Controller"): times in picoseconds. */
typedef struct {
    EspFifo rx, tx;
    bool shifting, overrun;
    uint8_t shift;
    uint32_t divider; /* in use, in 1/16 of a crystal's tick for a bit */
    uint64_t sent_at, due_at, free_at;
    EspRing from_host, to_host;
} EspUart;

typedef struct { uint32_t kind, a, b; } EspNote;
/* Texts are in hil/virtual/esp/machine.py. */
enum { ESP_NOTE_FAULT = 1, ESP_NOTE_LOCKED, ESP_NOTE_WATCHDOG, ESP_NOTE_OVERRUN, ESP_NOTE_SENT_LOST, ESP_NOTE_WFI };

typedef struct Esp {
    uc_engine *uc;
    uint8_t *flash, *ram;
    EspState state;
    EspStop stop;
    uint64_t cycles, instructions, budget;
    uint64_t base_cycles, base_ps; /* picoseconds are counted from here, `cycle_ps` a cycle */
    uint32_t cycle_ps, pc;
    uint32_t touched, cause; /* cause: of the exception that is to be entered */
    uc_mem_type touched_how;
    bool no_skip;
    uint32_t dogs; /* watchdogs that run */
    uint64_t bite;
    uint32_t count_event, count_mode, count_frozen; /* CSRs mpcer, mpcmr; mpccr while it stands */
    uint64_t count_from;
    uint64_t ticks; /* of the system timer, as last copied */
    EspSpin spin;
    EspUart uart;
    uint32_t bank[ESP_PAGES][1024];
    uint32_t note_head, note_tail;
    EspNote notes[ESP_NOTES];
    EspBlock blocks[1u << ESP_COST_BITS];
} Esp;

void esp_note(Esp *e, uint32_t kind, uint32_t a, uint32_t b);
uint64_t esp_ps(const Esp *e);                    /* picoseconds since power-on */
uint64_t esp_cycle(const Esp *e, uint64_t ps);    /* the first cycle at or after that; ESP_NEVER */
void esp_clock_rate(Esp *e, uint32_t cycle_ps);

/* The core (esp_core.c). */
uc_err esp_core_open(Esp *e);
void esp_core_reset(Esp *e);
void esp_core_run(Esp *e, uint64_t budget);
bool esp_spin(Esp *e, uint32_t pc); /* true: nothing to do until a byte comes */
/* Something changed that a loop could see. */
static inline void esp_effect(Esp *e) { e->spin.quiet = 0; e->spin.have = false; }

/* Devices (esp_devices.c, esp_uart.c). */
bool esp_owns(uint32_t address);
uc_err esp_map_devices(Esp *e);
void esp_devices_reset(Esp *e);
uint64_t esp_next_event(const Esp *e); /* ps */
void esp_sync(Esp *e);
uint32_t esp_uart_read(Esp *e, uint32_t *bank, uint32_t offset);
void esp_uart_write(Esp *e, uint32_t *bank, uint32_t offset, uint32_t value);
void esp_uart_reset(Esp *e, uint32_t *bank);
void esp_uart_sync(Esp *e, uint64_t ps);
uint64_t esp_uart_next(const Esp *e);
void esp_uart_given(Esp *e);

#endif
