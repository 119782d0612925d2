/* The console as two ring buffers in RAM that a debugger reads and writes while the cores run. They are described by a
 * control block of the layout of SEGGER's RTT, which debuggers know: 16 bytes of id, the numbers of buffers up (to the
 * host) and down, and of each buffer its name, place, size, the offset where it is written next, the offset where it is
 * read next, and flags. Who fills a buffer writes the one offset, who empties it the other.
 * For chips whose debugger sees what the cores see: without a data cache in front of this RAM. */
#include <stddef.h>

#include "port.h"

enum { BYTES = 1024, WAIT_WHEN_FULL = 2 };

typedef struct {
    const char *name;
    uint8_t *bytes;
    uint32_t size;
    volatile uint32_t write;
    volatile uint32_t read;
    uint32_t flags;
} rtt_buffer;

typedef struct {
    volatile char id[16];
    uint32_t ups;
    uint32_t downs;
    rtt_buffer up;
    rtt_buffer down;
} rtt_block;

_Static_assert(sizeof(void *) == 4 && sizeof(rtt_block) == 72, "a block with one buffer each way");

/* Debuggers look for this symbol, or for the id in RAM. */
extern rtt_block hil_rtt __asm__("_SEGGER_RTT");
rtt_block hil_rtt;

static uint8_t up[BYTES];
static uint8_t down[BYTES];
static const char name[] = "hil";

static void order(void)
{
    __asm__ volatile("dmb" ::: "memory");
}

void hil_port_start_console(void)
{
    /* Backwards, so that the id is in memory once only; and last, once all else is right. */
    static const char backwards[] = "TTR REGGES";
    for (uint32_t i = 0; i < sizeof hil_rtt.id; i++) {
        hil_rtt.id[i] = 0;
    }
    order();
    hil_rtt.ups = 1;
    hil_rtt.downs = 1;
    hil_rtt.up = (rtt_buffer){.name = name, .bytes = up, .size = BYTES, .flags = WAIT_WHEN_FULL};
    hil_rtt.down = (rtt_buffer){.name = name, .bytes = down, .size = BYTES, .flags = WAIT_WHEN_FULL};
    order();
    for (uint32_t i = 0; i + 1u < sizeof backwards; i++) {
        hil_rtt.id[i] = backwards[sizeof backwards - 2u - i];
    }
    order();
}

static uint32_t after(uint32_t at)
{
    return (at + 1u) % BYTES;
}

/* Nothing is stored while nothing has come, on the stack neither: by that a virtual board sees that it waits for its host.
 * So there is no call in here, and no more values than registers that a function may change. */
int32_t hil_port_getc(void)
{
    const uint32_t at = hil_rtt.down.read;
    if (hil_rtt.down.write == at) {
        return -1;
    }
    order(); /* the byte was there before the offset */
    const int32_t byte = down[at];
    order(); /* its place is free once it has been read */
    hil_rtt.down.read = after(at);
    return byte;
}

void hil_port_putc(uint8_t byte)
{
    const uint32_t at = hil_rtt.up.write;
    while (after(at) == hil_rtt.up.read) {
    }
    up[at] = byte;
    order();
    hil_rtt.up.write = after(at);
}
