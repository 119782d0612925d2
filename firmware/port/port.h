/* What a board must provide. Nothing else in firmware/ knows which board it runs on.
 *
 * Beside these functions: a linker script `link.ld` (the image builder puts a MEMORY block made from the board's
 * description in front) that defines the __hil_* symbols; a start-up function `hil_reset`, where the stack is empty and
 * the bound on its depth is computed from; and exception handlers that call hil_server_fault (link/server.h).
 * The compiler is given HIL_BOARD, HIL_CLOCK_HZ, HIL_BAUD, HIL_CORES, HIL_STACK_BYTES and HIL_RAM_BYTES.
 * Where the board is a program of the host's own system (isa "host"), that system decides where memory is: there is no
 * MEMORY block, and link.ld adds to the system's own layout. */
#ifndef HIL_PORT_H
#define HIL_PORT_H

#include <stdint.h>

/* Where memory is. Symbols of the linker script, as values. */
typedef struct {
    uint8_t *arena;
    uint32_t arena_bytes;
    const uint8_t *program;
    uint32_t program_bytes;
    uint32_t static_bytes; /* .data and .bss */
} hil_layout;

typedef struct {
    uint8_t *low; /* the stack grows down to here */
    uint32_t bytes;
} hil_stack;

/* The console: bytes to and from the host. A port's start-up starts it, once its clocks run. Where the board's description
 * has rtt, it can be linked with rtt.c in place of the port's own console.c, which is all that defines these three. */
void hil_port_start_console(void);
int32_t hil_port_getc(void); /* the next byte, or -1 if none has arrived */
void hil_port_putc(uint8_t byte);

/* Time since start. `ticks` counts CPU cycles up and wraps: only the bits of `tick_mask` count. */
uint64_t hil_port_us(void);
uint32_t hil_port_ticks(void);
uint32_t hil_port_tick_mask(void);
/* Ticks a microsecond, in 1/65536: a constant, so that no device divides 64-bit numbers at run time. */
uint32_t hil_port_ticks_per_us_q16(void);
uint32_t hil_port_clock_hz(void);

const char *hil_port_board(void); /* the board's name, at most 31 characters */
uint32_t hil_port_cores(void);
void hil_port_layout(hil_layout *layout);
void hil_port_stack(uint32_t core, hil_stack *stack);

/* Fills the free part of a core's stack with HIL_STACK_PAINT: all of it, or, of the core that runs this, what lies below
 * its stack pointer. Never called for another core that has been started: that one paints its own. Nothing has been
 * painted before main. */
void hil_port_paint_stack(uint32_t core);

/* The cores. Core 0 starts another by the board's own mechanism; it runs `entry`, which never returns, on its own stack,
 * which is painted. Data that core 0 wrote before is visible to it. */
void hil_port_start_core(uint32_t core, void (*entry)(void));
uint32_t hil_port_core(void); /* the number of the core that runs this */
/* Waits a little, or until another core signals, without burdening the buses; may return early. A signal that comes
 * before the wait ends it too. */
void hil_port_wait(void);
/* Wakes all cores that wait, once all that this core has stored can be seen. */
void hil_port_signal(void);

#define HIL_STACK_PAINT 0xa5u

#endif
