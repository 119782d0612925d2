/* The engine, alone: checks the program that lies at PROGRAM behind its size, fills the arena with pseudo-random bytes
 * (the inputs among them), runs it all, and answers with the status and the CRC of the whole arena. */
#include "hil_engine.h"
#include "stop.h"

#define PROGRAM ((const uint8_t *)0x10080000u)
#define ARENA_ROOM (160u * 1024u)

static uint32_t arena[ARENA_ROOM / 4u];
static hil_engine engine;

/* One core never waits for another. */
void hil_engine_wait(void) { for (;;) { } }
void hil_engine_signal(void) { for (;;) { } }

void main(void)
{
    uint8_t *bytes = (uint8_t *)arena;
    for (uint32_t i = 0; i < sizeof engine; i++) ((volatile uint8_t *)&engine)[i] = 0;
    ANSWER[0] = hil_engine_load(&engine, PROGRAM + 16, *(const uint32_t *)PROGRAM, bytes, ARENA_ROOM, 1);
    uint32_t seed = 2463534242u;
    for (uint32_t i = 0; i < engine.arena_size; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed >> 24);
    }
    ANSWER[1] = hil_engine_run(&engine, 0, 0, 0, 0);
    ANSWER[2] = hil_crc32(0, bytes, engine.arena_size);
    stop();
}
