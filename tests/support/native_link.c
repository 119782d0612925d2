/* The device's side of the link on this machine: a port of memory buffers, and a kernel that shows when it ran twice.
 * Everything else is the firmware's own code. */
#include <stdlib.h>
#include <string.h>
#ifdef STANDALONE
#include <stdio.h>
#endif

#include "kernel.h"
#include "kernels/kernels.h"
#include "server.h"

enum { ARENA = 8192, OUT = 1 << 20, STACK = 256 };

static hil_server server;
static _Alignas(16) uint8_t arena[ARENA];
static _Alignas(16) uint8_t program[4096];
static uint32_t program_bytes;
static uint8_t out[OUT];
static uint32_t out_used;
static uint8_t stacks[2][STACK];
static uint64_t now_us;
static uint64_t now_cycles;
static uint64_t step_us;

const uint8_t hil_build_id[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

int32_t hil_port_getc(void)
{
    return -1;
}

void hil_port_putc(uint8_t byte)
{
    if (out_used < OUT) {
        out[out_used++] = byte;
    }
}

uint64_t hil_port_us(void)
{
    return now_us;
}

uint32_t hil_port_ticks(void)
{
    return (uint32_t)now_cycles & 0xffffffu;
}

uint32_t hil_port_tick_mask(void)
{
    return 0xffffffu;
}

uint32_t hil_port_ticks_per_us_q16(void)
{
    return 125u << 16;
}

uint32_t hil_port_clock_hz(void)
{
    return 125000000u;
}

const char *hil_port_board(void)
{
    return "native";
}

uint32_t hil_port_cores(void)
{
    return 2;
}

void hil_port_layout(hil_layout *layout)
{
    layout->arena = arena;
    layout->arena_bytes = ARENA;
    layout->program = program;
    layout->program_bytes = program_bytes;
    layout->static_bytes = sizeof server;
}

void hil_port_stack(uint32_t core, hil_stack *stack)
{
    stack->low = stacks[core];
    stack->bytes = STACK;
}

void hil_port_paint_stack(uint32_t core)
{
    memset(stacks[core], HIL_STACK_PAINT, STACK);
}

/* The programs here are for one core: nobody to start, to wait for or to wake. */
void hil_port_start_core(uint32_t core, void (*entry)(void))
{
    (void)core;
    (void)entry;
    abort();
}

void hil_port_wait(void)
{
    abort();
}

void hil_port_signal(void)
{
    abort();
}

hil_status hil_check_kernel(const hil_limits *limits, const hil_record *record, hil_extent *extent)
{
    (void)limits;
    (void)record;
    extent->rows = 1;
    extent->channels = 1;
    extent->whole_channels = false;
    return HIL_OK;
}

/* Adds one to each of the first 2048 bytes; uses 40 bytes of core 0's stack. */
void hil_run_kernel(const hil_memory *memory, const hil_record *record, const hil_box *box)
{
    (void)record;
    (void)box;
    for (uint32_t i = 0; i < 2048u; i++) {
        memory->arena[i] = (uint8_t)(memory->arena[i] + 1u);
    }
    memset(stacks[0] + STACK - 40, 0, 40);
    now_us += step_us;
    now_cycles += step_us * 125u + 7u;
}

/* ---- what the tests call */

void device_start(const uint8_t *bytes, uint32_t count, uint64_t us_a_step)
{
    memset(&server, 0, sizeof server);
    memset(program, 0, sizeof program);
    memcpy(program, bytes, count);
    program_bytes = count;
    step_us = us_a_step;
    out_used = 0;
    hil_server_start(&server, NULL);
}

void device_feed(const uint8_t *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        hil_server_byte(&server, bytes[i]);
    }
}

uint32_t device_take(uint8_t *to, uint32_t room)
{
    const uint32_t count = out_used < room ? out_used : room;
    memcpy(to, out, count);
    memmove(out, out + count, out_used - count);
    out_used -= count;
    return count;
}

uint32_t cobs_decode(uint8_t *bytes, uint32_t count)
{
    return hil_cobs_decode(bytes, count);
}

#ifdef STANDALONE
/* Standard input: bytes of the program (word), the program, then what comes over the line. */
int main(void)
{
    static uint8_t given[4096];
    static uint8_t line;
    uint32_t bytes = 0;
    if (fread(&bytes, 1, 4, stdin) != 4 || bytes > sizeof given || fread(given, 1, bytes, stdin) != bytes) {
        return 2;
    }
    device_start(given, bytes, 1000);
    while (fread(&line, 1, 1, stdin) == 1) {
        device_feed(&line, 1);
        fwrite(out, 1, out_used, stdout);
        out_used = 0;
    }
    return 0;
}
#endif
