/* One node as a process: the firmware's own engine, server and network on a port that the test plays. Whenever the node
 * rests it says so on standard output, and goes on when standard input says what time it is and what has arrived. So a
 * test decides about time and order, and every run can be repeated.
 *
 * Out: 'F' peers (word), bytes (word), frame; 'C' bytes (word), console output; 'Y': rests.
 * In: microseconds (8 bytes), console bytes (word), they, frames (word), of each its bytes (word) and they. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hil_program.h"
#include "net.h"
#include "server.h"

enum { ARENA = 1 << 18, PROGRAM = 1 << 16, CONSOLE = 1 << 13, INBOX = 512, STACK = 256 };

static hil_server server;
static _Alignas(16) uint8_t arena[ARENA];
static _Alignas(16) uint8_t program[PROGRAM];
static uint32_t program_bytes;
static uint64_t now_us;
static uint8_t console_in[CONSOLE], console_out[CONSOLE];
static uint32_t in_at, in_bytes, out_bytes;
static uint8_t stack_bytes[STACK];
static uint32_t slow; /* how often send says that it needs another call, at most */
static uint32_t calls;

typedef struct {
    uint32_t bytes;
    uint8_t *frame; /* of exactly its size, so that nobody reads behind it */
} letter;

static letter inbox[INBOX];
static uint32_t inbox_at, inbox_end;

const uint8_t hil_build_id[16] = {1};

static void get(void *to, size_t bytes)
{
    if (fread(to, 1, bytes, stdin) != bytes) {
        exit(0); /* the test is over */
    }
}

static uint32_t get_word(void)
{
    uint32_t word = 0;
    get(&word, sizeof word);
    return word;
}

static void put(char kind, const uint8_t *data, uint32_t bytes)
{
    fputc(kind, stdout);
    fwrite(&bytes, sizeof bytes, 1, stdout);
    fwrite(data, 1, bytes, stdout);
}

static void rest(void)
{
    if (out_bytes > 0u) {
        put('C', console_out, out_bytes);
        out_bytes = 0;
    }
    fputc('Y', stdout);
    fflush(stdout);
    get(&now_us, sizeof now_us);
    in_at = 0;
    in_bytes = get_word();
    get(console_in, in_bytes);
    for (uint32_t count = get_word(); count > 0u; count--) {
        letter *one = &inbox[inbox_end++ % INBOX];
        one->bytes = get_word();
        one->frame = malloc(one->bytes);
        get(one->frame, one->bytes);
    }
}

int32_t hil_port_getc(void)
{
    if (in_at == in_bytes) {
        rest();
    }
    return in_at < in_bytes ? console_in[in_at++] : -1;
}

void hil_port_putc(uint8_t byte)
{
    if (out_bytes < CONSOLE) {
        console_out[out_bytes++] = byte;
    }
}

bool hil_network_open(uint32_t node, uint32_t nodes)
{
    return node < nodes;
}

bool hil_network_send(uint32_t peers, const uint8_t *frame, uint32_t bytes)
{
    if (slow > 0u && ++calls % slow != 0u) {
        return false;
    }
    fputc('F', stdout);
    fwrite(&peers, sizeof peers, 1, stdout);
    fwrite(&bytes, sizeof bytes, 1, stdout);
    fwrite(frame, 1, bytes, stdout);
    return true;
}

uint32_t hil_network_receive(uint8_t *frame, uint32_t room)
{
    if (inbox_at == inbox_end) {
        return 0;
    }
    letter *one = &inbox[inbox_at++ % INBOX];
    const uint32_t bytes = one->bytes <= room ? one->bytes : 0u;
    memcpy(frame, one->frame, bytes);
    free(one->frame);
    return bytes;
}

bool hil_network_poll(void)
{
    return inbox_at != inbox_end;
}

void hil_network_close(void)
{
}

uint64_t hil_port_us(void)
{
    return now_us;
}

uint32_t hil_port_ticks(void)
{
    return (uint32_t)now_us * 1000u;
}

uint32_t hil_port_tick_mask(void)
{
    return 0xffffffffu;
}

uint32_t hil_port_ticks_per_us_q16(void)
{
    return 1000u << 16;
}

uint32_t hil_port_clock_hz(void)
{
    return 1000000000u;
}

const char *hil_port_board(void)
{
    return "played";
}

uint32_t hil_port_cores(void)
{
    return 1;
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
    (void)core;
    stack->low = stack_bytes;
    stack->bytes = STACK;
}

void hil_port_paint_stack(uint32_t core)
{
    (void)core;
}

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

/* Argument: how slow send is. Standard input begins with the program's bytes (word) and the program. */
int main(int count, char **arguments)
{
    slow = count > 1 ? (uint32_t)atoi(arguments[1]) : 0u;
    program_bytes = get_word();
    if (program_bytes > PROGRAM) {
        return 2;
    }
    get(program, program_bytes);
    hil_server_start(&server, NULL);
    for (;;) {
        if (hil_network_poll()) {
            hil_server_idle(&server);
        }
        const int32_t byte = hil_port_getc();
        if (byte >= 0) {
            hil_server_byte(&server, (uint8_t)byte);
        }
    }
}
