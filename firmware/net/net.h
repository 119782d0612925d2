/* One node among others, as the server and the main loop see it: runs begin and end here; in between the engine calls
 * hil_engine_exchange, which is here too. */
#ifndef HIL_NET_H
#define HIL_NET_H

#include "hil_engine.h"
#include "network.h"

#define HIL_NET_NOBODY 0xffffffffu

/* What the host asked for. Inference i of the `repeat` has run number run + i. */
typedef struct {
    uint32_t run;
    uint32_t repeat;
    uint32_t patience_us; /* an exchange in which nothing moves for so long is given up */
    uint32_t retry_us;    /* what got no answer for so long is asked for again */
} hil_net_job;

/* Opens the port, for a program that is loaded and for several nodes. False if its hardware does not answer. `user` is
 * handed to hil_net_console. */
bool hil_net_open(const hil_engine *engine, void *user);

/* Before a run: node 0 says START to the others, and these wait for it, or for any word of a peer about this run,
 * without looking at a clock. HIL_NET_ABORTED if the host spoke up instead, or a peer gave up. */
hil_status hil_net_begin(const hil_net_job *job);

/* Between two inferences of the run. */
void hil_net_next(void);

/* After a run: tells the peers if it failed, and answers for it from now on. */
void hil_net_end(hil_status status);

/* Whenever hil_network_poll says so while no run goes on: peers that missed an answer get it. Returns soon. */
void hil_net_idle(void);

/* The node that the last run's failure is about, or HIL_NET_NOBODY. */
uint32_t hil_net_peer(void);

/* Frames that were not sound, or not to be expected, since the run began. */
uint32_t hil_net_dropped(void);

/* Provided by the user: takes a byte from the console while a run waits. True if the run is to be given up, because the
 * host asks for something else; no further byte is handed over then. */
bool hil_net_console(void *user, uint8_t byte);

#endif
