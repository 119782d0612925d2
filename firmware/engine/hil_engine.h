/* The engine: checks a program once, then interprets its steps, on one core or several. Freestanding C11, no heap, no
 * board. Whoever uses it provides hil_engine_wait and hil_engine_signal, which one core alone never calls, and, where
 * HIL_NODES is above 1, hil_engine_exchange. */
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
    HIL_BAD_ARGUMENT = 11,
    HIL_NO_CORES = 12,    /* the program is for more cores than the board has */
    HIL_NO_NODES = 13,    /* the program is for more nodes than this firmware can talk to, or for none of them */
    HIL_NET_TIMEOUT = 14, /* nothing moved on the network for too long */
    HIL_NET_ABORTED = 15, /* the host, or a peer, gave the run up */
    HIL_NET_BROKEN = 16   /* a peer said what the protocol does not allow */
} hil_status;

#define HIL_MAX_CORES 8u
#define HIL_MAX_NODES 16u

/* How many nodes a program may be for: given to the compiler. With 1 nothing of a network is built in. */
#ifndef HIL_NODES
#define HIL_NODES 1u
#endif

/* One core's own words: it alone writes them. */
typedef struct {
    uint32_t met;           /* meetings that it came to */
    volatile uint32_t step; /* the step that it runs now */
} hil_mate;

/* What all cores do between two meetings; core 0 writes it. */
typedef struct {
    uint32_t first, end; /* steps */
    uint32_t jitter;     /* seed of random delays before each step; 0: none */
    uint32_t alone;      /* k + 1: core 0 does what is core k's, the others sleep on; 0: all do their own */
} hil_job;

typedef struct {
    const uint8_t *program; /* 4-byte aligned, in flash */
    uint8_t *arena;         /* 4-byte aligned */
    uint32_t size;          /* bytes of the program */
    uint32_t arena_size;    /* bytes of the arena that the program uses */
    uint32_t crc;
    uint32_t steps;
    uint32_t inputs;
    uint32_t outputs;
    uint32_t cores;       /* that the program is for */
    uint32_t node, nodes; /* which node of how many the program is for */
    uint32_t failed;      /* hil_status of the run's first exchange that failed; core 0 writes it */
    bool loaded;
    hil_job job;
    hil_mate mates[HIL_MAX_CORES]; /* core 0's step is, after an error, the step or operator that caused it */
} hil_engine;

typedef struct {
    uint32_t offset; /* in the arena */
    uint32_t bytes;
} hil_span;

/* Takes a program after checking all of it: no later access can leave program or arena. `room` and `arena_room`
 * are the bytes that may be read at `program` and used at `arena`; `cores` is how many can run. The other cores of a
 * program must not be in a meeting. */
hil_status hil_engine_load(hil_engine *engine, const uint8_t *program, uint32_t room, uint8_t *arena,
                           uint32_t arena_room, uint32_t cores);

/* Core 0: runs `count` steps from `first` together with the program's other cores; `count` 0 means all that remain.
 * `jitter` other than 0 delays every step of every core by a random time, the same for the same number. With `alone`
 * k + 1 core 0 runs those of the boxes that are of core k, meeting nobody and moving no message: where all cores share
 * one clock, their parts between two barriers can so be timed one by one. Gives the status of an exchange that failed,
 * with core 0's step being the one to blame: what is behind it is not computed. */
hil_status hil_engine_run(hil_engine *engine, uint32_t first, uint32_t count, uint32_t jitter, uint32_t alone);

/* The other cores of a program, for each hil_engine_run of core 0: meet, walk, meet. */

/* Waits until every core of the program came here as often as this one. All see then what any wrote before. */
void hil_engine_meet(hil_engine *engine, uint32_t core);

/* Runs those steps of core 0's job that are of `core`. */
void hil_engine_walk(hil_engine *engine, uint32_t core);

/* Provided by the engine's user. Waits a little, or until another core signals: a signal that comes before the wait
 * must end it too. May return early. */
void hil_engine_wait(void);
/* Ends the waits of all other cores, once everything that this core has stored can be seen. */
void hil_engine_signal(void);

/* Provided by the engine's user where HIL_NODES is above 1. Core 0: does all of steps [first, end), which are SENDs and
 * RECEIVEs, together; gives HIL_OK when all are done. With any other status engine->mates[0].step is the step to blame.
 */
hil_status hil_engine_exchange(hil_engine *engine, uint32_t first, uint32_t end);

/* Where input or output `index` lies. */
hil_status hil_engine_input(const hil_engine *engine, uint32_t index, hil_span *span);
hil_status hil_engine_output(const hil_engine *engine, uint32_t index, hil_span *span);

/* CRC-32 (IEEE 802.3, reflected, as zlib's crc32). Start with `crc` 0; feed pieces one after the other. */
uint32_t hil_crc32(uint32_t crc, const uint8_t *data, uint32_t bytes);

#endif
