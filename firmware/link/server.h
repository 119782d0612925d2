/* The device's side of the protocol: takes bytes from the console, answers requests, runs the engine. */
#ifndef HIL_SERVER_H
#define HIL_SERVER_H

#include "hil_engine.h"
#include "link.h"
#include "port.h"

typedef struct {
    uint32_t state; /* HIL_NEVER_RAN .. */
    uint32_t run;   /* the host's number for it */
    uint32_t status;
    uint32_t step;
    uint32_t peer; /* the node that a failure is about, or HIL_NO_PEER */
    uint64_t us;
    uint64_t cycles;
} hil_result;

#define HIL_NO_PEER 0xffffffffu

typedef struct {
    hil_engine engine;
    hil_layout layout;
    hil_status load_status;
    hil_result result;
    uint32_t paint;         /* the byte that the arena was painted with last */
    uint32_t first, count;  /* of the run to do after this answer */
    uint32_t jitter;
    uint32_t alone;         /* 0: all cores run; k + 1: core 0 runs the steps of core k */
    uint32_t repeat;        /* inferences, one after the other */
    uint32_t patience_us, retry_us; /* of the network */
    bool painting;          /* what the other cores do at their next meeting: paint their stacks, or run */
    uint32_t faults[HIL_MAX_CORES]; /* see hil_first_fault */
    bool session;           /* a HELLO came since start */
    bool interrupted;       /* the host asked for `request` while a run waited for its peers */
    hil_frame request;
    uint16_t sequence;      /* of the last request done */
    uint32_t answer_bytes;  /* payload of its answer, kept below */
    uint8_t answer_kind, answer_status;
    hil_receiver receiver;
    uint8_t answer[HIL_FRAME_ROOM];
    uint8_t event[HIL_LINK_HEADER + HIL_LINK_EVENT + HIL_LINK_CRC];
} hil_server;

/* 16 bytes that name this image; the image builder writes them. */
extern const uint8_t hil_build_id[16];

/* Core 0: paints the stacks, loads the program, starts the cores that it is for, and says so on the console. `work` is
 * what they run: it must call hil_server_work. */
void hil_server_start(hil_server *server, void (*work)(void));

/* Every other core: does its part of what core 0 is asked for. Does not return. */
void hil_server_work(hil_server *server, uint32_t core);

/* Takes one byte from the console; answers, and runs the engine, when it completes a request. */
void hil_server_byte(hil_server *server, uint8_t byte);

/* Where HIL_NODES is above 1, whenever hil_network_poll says so between requests. */
void hil_server_idle(hil_server *server);

/* Sends a line of text, cut at HIL_LINK_EVENT bytes, beside the answers. */
void hil_server_log(hil_server *server, const char *text);

/* True for exactly one of the cores that fault, of `cores`: that one reports. `states`, one a core, begin as 0. */
bool hil_first_fault(uint32_t *states, uint32_t cores, uint32_t core);

/* The registers of a fault, as the exception frame has them. */
typedef struct {
    uint32_t reason; /* HIL_HARD_FAULT .. */
    uint32_t core;
    uint32_t sp, r0, r1, r2, r3, r12, lr, pc, xpsr, exc_return;
} hil_fault;

/* Reports the fault, now and as the answer to everything that the host ever sends. Any core may call it: one that is not
 * in a meeting has the console to itself, and of several that fault only one reports. Does not return. */
void hil_server_fault(hil_server *server, const hil_fault *fault);

#endif
