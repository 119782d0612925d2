/* The engine: checks a program once, then interprets its steps. Freestanding C11, no heap, no board. */
#ifndef HIL_ENGINE_H
#define HIL_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    HIL_OK = 0,
    HIL_NOT_LOADED = 1,
    HIL_BAD_MAGIC = 2,
    HIL_BAD_VERSION = 3,
    HIL_BAD_SIZE = 4,
    HIL_BAD_CRC = 5,
    HIL_BAD_TABLE = 6,  /* a table of the header lies outside the program */
    HIL_BAD_KIND = 7,   /* an operator that this engine does not have */
    HIL_BAD_RECORD = 8, /* an operator whose values contradict each other or reach outside their memory */
    HIL_BAD_STEP = 9,
    HIL_NO_ARENA = 10,  /* the program needs a larger arena than the board has */
    HIL_BAD_ARGUMENT = 11
} hil_status;

typedef struct {
    const uint8_t *program; /* 4-byte aligned, in flash */
    uint8_t *arena;         /* 4-byte aligned */
    uint32_t size;          /* bytes of the program */
    uint32_t arena_size;    /* bytes of the arena that the program uses */
    uint32_t crc;
    uint32_t steps;
    uint32_t inputs;
    uint32_t outputs;
    volatile uint32_t step; /* the step that runs now; after an error, the step or operator that caused it */
    bool loaded;
} hil_engine;

typedef struct {
    uint32_t offset; /* in the arena */
    uint32_t bytes;
} hil_span;

/* Takes a program after checking all of it: no later access can leave program or arena. `room` and `arena_room`
 * are the bytes that may be read at `program` and used at `arena`. */
hil_status hil_engine_load(hil_engine *engine, const uint8_t *program, uint32_t room, uint8_t *arena,
                           uint32_t arena_room);

/* Runs `count` steps from `first`; `count` 0 means all that remain. */
hil_status hil_engine_run(hil_engine *engine, uint32_t first, uint32_t count);

/* Where input or output `index` lies. */
hil_status hil_engine_input(const hil_engine *engine, uint32_t index, hil_span *span);
hil_status hil_engine_output(const hil_engine *engine, uint32_t index, hil_span *span);

/* CRC-32 (IEEE 802.3, reflected, as zlib's crc32). Start with `crc` 0; feed pieces one after the other. */
uint32_t hil_crc32(uint32_t crc, const uint8_t *data, uint32_t bytes);

#endif
