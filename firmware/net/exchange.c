/* A node's runs and exchanges: what goes on in which order, and how long. What is said is in speak.c, what is heard in
 * hear.c, and docs/network.md explains the whole. */
#include "link.h"
#include "node.h"
#include "port.h"

/* How often the clock and the console are looked at while bytes keep moving. */
enum { ROUNDS = 64 };

/* A pause is counted as waiting if it is longer than it takes three bytes to come. */
#define PAUSE_US (30000000u / HIL_NET_BAUD + 2u)

/* A node that waits asks less and less often, but still so many times before it gives up; and never so often that it
 * does nothing else. */
enum { SLOWEST_RETRY = 8, LEAST_TRIES = 8, QUICKEST_RETRY_US = 100 };

static hil_net_node the_node;

typedef struct {
    uint32_t progress; /* when something got done */
    uint32_t asked;    /* when the peers were asked last */
    uint32_t interval; /* until they are asked again */
    uint32_t still;    /* since when nothing moved */
    uint32_t waited;
    bool pause; /* nothing moved when the clock was looked at last */
} watch;

hil_message hil_net_message(const hil_net_node *node, uint32_t index)
{
    const hil_engine *engine = node->engine;
    const hil_header *header = (const hil_header *)(const void *)engine->program;
    const hil_step *step = (const hil_step *)(const void *)(engine->program + header->steps_at) + node->first + index;
    const uint32_t *records = (const uint32_t *)(const void *)(engine->program + header->operators_at);
    const void *record = engine->program + records[step->operator_index];
    const hil_message message = {step, record, engine->arena};
    return message;
}

static uint32_t now_us(void)
{
    return (uint32_t)hil_port_us();
}

/* Moves what can be moved, out and in. */
static void pump(hil_net_node *node)
{
    if (node->out_bytes == 0u && node->work) {
        hil_net_speak(node);
    }
    if (node->out_bytes != 0u && hil_network_send(node->out_peers, node->out, node->out_bytes)) {
        node->out_bytes = 0;
    }
    const uint32_t bytes = hil_network_receive(node->in, sizeof node->in);
    if (bytes > 0u) {
        hil_net_hear(node, bytes);
    }
}

static bool host_speaks(const hil_net_node *node)
{
    const int32_t byte = hil_port_getc();
    return byte >= 0 && hil_net_console(node->user, (uint8_t)byte);
}

/* Asks the peers for what is missing. */
static void ask(hil_net_node *node)
{
    for (uint32_t i = 0; i < node->count; i++) {
        hil_net_transfer *transfer = &node->transfers[i];
        if ((transfer->flags & HIL_COMPLETE) != 0u) {
            continue;
        }
        if (hil_net_message(node, i).step->kind == HIL_STEP_SEND) {
            transfer->flags |= HIL_OWE_PROBE;
        } else if ((transfer->flags & HIL_GRANTED) != 0u) {
            transfer->flags |= (transfer->flags & HIL_HEARD) != 0u ? HIL_OWE_AGAIN : HIL_OWE_GRANT;
        }
    }
    node->work = true;
}

/* The first transfer that is not complete, and the first of its peers that it waits for. */
static uint32_t to_blame(const hil_net_node *node, uint32_t *peer)
{
    uint32_t index = 0;
    while (index + 1u < node->count && (node->transfers[index].flags & HIL_COMPLETE) != 0u) {
        index++;
    }
    const uint32_t waiting = hil_net_message(node, index).step->box.c1 & ~(uint32_t)node->transfers[index].acked;
    *peer = 0;
    while (*peer + 1u < node->engine->nodes && !hil_net_has(waiting, *peer)) {
        (*peer)++;
    }
    return index;
}

/* Looks at the clock. `resting`: nothing can be moved now. */
static void look(hil_net_node *node, watch *at, bool resting)
{
    const uint32_t now = now_us();
    if (at->pause && !resting && now - at->still > PAUSE_US) {
        at->waited += now - at->still;
    }
    at->still = at->pause ? at->still : now;
    at->pause = resting;
    if (node->progress) {
        node->progress = false;
        at->progress = now;
        at->asked = now;
        at->interval = node->job.retry_us;
        return;
    }
    if (now - at->progress >= node->job.patience_us) {
        uint32_t peer = HIL_NET_NOBODY;
        (void)to_blame(node, &peer);
        hil_net_fail(node, HIL_NET_TIMEOUT, peer);
    } else if (now - at->asked >= at->interval) {
        at->asked = now;
        if (at->interval < SLOWEST_RETRY * node->job.retry_us && at->interval < node->job.patience_us / LEAST_TRIES) {
            at->interval *= 2u;
        }
        ask(node);
    }
}

static void start(hil_net_node *node, uint32_t first, uint32_t end)
{
    node->first = first;
    node->count = end - first;
    node->left = end - first;
    node->turn = 0;
    node->progress = true;
    node->work = true;
    node->passed = hil_net_message(node, 0).step->box.c0;
    for (uint32_t i = 0; i < node->count; i++) {
        const hil_net_transfer empty = {0};
        node->transfers[i] = empty;
        if (hil_net_message(node, i).step->kind == HIL_STEP_SEND) {
            hil_net_recall(node, i);
        }
    }
    hil_net_grant(node);
}

static void trace(hil_net_node *node, uint32_t begun, uint32_t ended, uint32_t waited)
{
    const hil_engine *engine = node->engine;
    const uint32_t at = ((const hil_header *)(const void *)engine->program)->trace_at;
    if (at > engine->arena_size || node->exchange >= (engine->arena_size - at) / HIL_TRACE_BYTES) {
        return; /* none is wanted, or the host gave it less room than the program has exchanges */
    }
    uint8_t *to = engine->arena + at + node->exchange * HIL_TRACE_BYTES;
    hil_put32(to, begun - node->started);
    hil_put32(to + 4, ended - node->started);
    hil_put32(to + 8, waited);
}

hil_status hil_engine_exchange(hil_engine *engine, uint32_t first, uint32_t end)
{
    hil_net_node *node = &the_node;
    start(node, first, end);
    const uint32_t begun = now_us();
    watch at = {begun, begun, node->job.retry_us, begun, 0, false};
    uint32_t rounds = 0;
    while (node->status == HIL_OK && (node->left > 0u || node->work || node->out_bytes != 0u)) {
        pump(node);
        const bool resting = !node->work && !hil_network_poll();
        if (resting || at.pause || (++rounds & (ROUNDS - 1u)) == 0u) {
            look(node, &at, resting);
            if (host_speaks(node)) {
                hil_net_fail(node, HIL_NET_ABORTED, HIL_NET_NOBODY);
            }
        }
    }
    const uint32_t ended = now_us();
    trace(node, begun, ended, at.waited);
    uint32_t peer = 0;
    engine->mates[0].step = first + (node->status == HIL_OK ? end - first - 1u : to_blame(node, &peer));
    node->passed = hil_net_message(node, node->count - 1u).step->box.c0 + 1u;
    node->count = 0;
    node->exchange++;
    return node->status;
}

bool hil_net_open(const hil_engine *engine, void *user)
{
    the_node.engine = engine;
    the_node.user = user;
    the_node.peer = HIL_NET_NOBODY;
    return hil_network_open(engine->node, engine->nodes);
}

/* Says one frame to all other nodes; gives up when its bytes do not leave in time. */
static void tell_all(hil_net_node *node, uint32_t kind)
{
    const uint32_t others = ((1u << node->engine->nodes) - 1u) & ~(1u << node->engine->node);
    const hil_net_head head = {.kind = (uint8_t)kind,
                               .source = (uint8_t)node->engine->node,
                               .peers = (uint16_t)others,
                               .run = node->run};
    const uint32_t begun = now_us();
    bool built = false;
    while ((!built || node->out_bytes != 0u) && now_us() - begun < node->job.retry_us) {
        if (node->out_bytes == 0u) {
            node->out_peers = others;
            node->out_bytes = hil_net_pack(node->out, &head);
            built = true;
        }
        pump(node);
    }
}

hil_status hil_net_begin(const hil_net_job *job)
{
    hil_net_node *node = &the_node;
    node->job = *job;
    node->job.retry_us = job->retry_us > QUICKEST_RETRY_US ? job->retry_us : QUICKEST_RETRY_US;
    node->run = job->run;
    node->status = HIL_OK;
    node->peer = HIL_NET_NOBODY;
    node->told = false;
    node->dropped = 0;
    node->exchange = 0;
    node->passed = 0;
    node->reply.kind = 0;
    for (uint32_t i = 0; i < HIL_NET_EARLY; i++) {
        node->early[i].peers = 0;
    }
    node->state = node->engine->node == 0u ? HIL_NET_RUNS : HIL_NET_WAITS;
    if (node->engine->node == 0u) {
        tell_all(node, HIL_NET_START);
    }
    while (node->state == HIL_NET_WAITS && node->status == HIL_OK) {
        if (node->work || hil_network_poll()) {
            pump(node);
        } else {
            const int32_t byte = hil_port_getc(); /* nothing is stored on the way here: the loop is at rest */
            if (byte >= 0 && hil_net_console(node->user, (uint8_t)byte)) {
                hil_net_fail(node, HIL_NET_ABORTED, HIL_NET_NOBODY);
            }
        }
    }
    node->started = now_us();
    return node->status;
}

void hil_net_next(void)
{
    the_node.run++;
    the_node.exchange = 0;
    the_node.passed = 0;
}

void hil_net_end(hil_status status)
{
    hil_net_node *node = &the_node;
    hil_net_fail(node, status, HIL_NET_NOBODY);
    node->state = HIL_NET_IDLE;
    if (status != HIL_OK && !node->told) {
        tell_all(node, HIL_NET_ABORT);
    }
}

void hil_net_idle(void)
{
    hil_net_node *node = &the_node;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        pump(node);
    }
}

uint32_t hil_net_peer(void)
{
    return the_node.peer;
}

uint32_t hil_net_dropped(void)
{
    return the_node.dropped;
}
