/* The board's side of a network: frames that wait in either direction, and the time that all boards share.
 *
 * Whoever owns several machines runs each of them up to a moment of the world's time, carries what they have sent, and
 * chooses the next moment so that nothing can arrive before it: machine_until, machine_collect, machine_deliver.
 */
#include <string.h>

#include "machine.h"

#define SECOND_PS 1000000000000u

void machine_wire(Machine *m, uint32_t port, uint64_t byte_num, uint64_t byte_den);
void machine_slow(Machine *m, uint64_t num, uint64_t den);
uint64_t machine_world(const Machine *m);
uint64_t machine_soonest(const Machine *m);
bool machine_deliver(Machine *m, uint64_t ps, const uint8_t *bytes, uint32_t count);
uint32_t machine_collect(Machine *m, uint8_t *bytes, uint32_t room, uint64_t *ps);
uint64_t machine_lost(const Machine *m);

/* ---- time ---------------------------------------------------------------------------------------------------- */

uint64_t network_ps(const Machine *m, uint64_t cycle) { return counter_at(&m->world, cycle); }
uint64_t network_cycle(const Machine *m, uint64_t ps) { return counter_when(&m->world, ps); }

/* The clocks have changed at `cycle`. */
void network_clocks(Machine *m, uint64_t cycle)
{
    counter_rate(&m->world, cycle, rate_make(SECOND_PS * m->slow_num, m->slow_den), m->sys);
    if (m->limit_ps != NEVER) {
        m->limit = network_cycle(m, m->limit_ps);
        for (uint32_t i = 0; i < CORES; i++) m->core[i].budget = 0; /* theirs were made for the old one */
    }
    if (m->network.port) m->network.port->clocks(m);
}

/* Off and on again at `ps`: what was on its way is gone. */
void network_power(Machine *m, uint64_t ps)
{
    m->world = (Counter){0, ps, 0, 0, 1};
    m->network.in.head = m->network.in.tail = m->network.out.head = m->network.out.tail = 0;
    port_uart.power(m);
    if (m->network.port && m->network.port != &port_uart) m->network.port->power(m);
}

void network_sync(Machine *m, uint64_t cycle)
{
    if (m->network.port && m->network.port->sync) m->network.port->sync(m, cycle);
}

uint64_t network_next(const Machine *m)
{
    return m->network.port && m->network.port->next ? m->network.port->next(m) : NEVER;
}

/* ---- frames, as devices see them ------------------------------------------------------------------------------ */

static bool push(FrameQueue *queue, uint64_t ps, const uint8_t *bytes, uint32_t count)
{
    if (count > FRAME_BYTES || queue->head - queue->tail == FRAMES) return false;
    Frame *frame = &queue->frames[queue->head++ % FRAMES];
    frame->ps = ps;
    frame->bytes = count;
    memcpy(frame->data, bytes, count);
    return true;
}

void network_send(Machine *m, uint64_t ps, const uint8_t *frame, uint32_t bytes)
{
    if (!push(&m->network.out, ps, frame, bytes)) m->network.lost += bytes;
}

const Frame *network_waiting(const Machine *m)
{
    const FrameQueue *in = &m->network.in;
    return in->head == in->tail ? NULL : &in->frames[in->tail % FRAMES];
}

void network_taken(Machine *m) { m->network.in.tail++; }

/* ---- what the owner of several machines calls ------------------------------------------------------------------ */

/* Plug the board in: port 0 nothing, 1 UART1, 2 Ethernet. A byte takes byte_num / byte_den picoseconds on the line to it. */
void machine_wire(Machine *m, uint32_t port, uint64_t byte_num, uint64_t byte_den)
{
    static const NetworkPort *const ports[] = {NULL, &port_uart, &port_ethernet};
    m->network.port = port < sizeof ports / sizeof *ports ? ports[port] : NULL;
    m->network.byte_num = byte_num;
    m->network.byte_den = byte_den ? byte_den : 1;
    if (m->network.port) m->network.port->power(m);
}

/* From now on every cycle takes num / den times as long as it should. */
void machine_slow(Machine *m, uint64_t num, uint64_t den)
{
    m->slow_num = num;
    m->slow_den = den;
    clocks_update(m, m->now);
}

uint64_t machine_world(const Machine *m) { return network_ps(m, m->now); }

/* Before this moment no frame but those that machine_collect has is whole. */
uint64_t machine_soonest(const Machine *m)
{
    return m->network.port ? m->network.port->soonest(m) : NEVER;
}

/* A frame for the board, that may begin on its line at `ps` and not before those delivered earlier. False: no room. */
bool machine_deliver(Machine *m, uint64_t ps, const uint8_t *bytes, uint32_t count)
{
    uart_sync(m, m->now);
    network_sync(m, m->now);
    if (!m->network.port || !push(&m->network.in, ps, bytes, count)) return false;
    m->network.port->given(m);
    return true;
}

/* The next frame that the board has sent, and when it was whole; 0 if there is none. */
uint32_t machine_collect(Machine *m, uint8_t *bytes, uint32_t room, uint64_t *ps)
{
    FrameQueue *out = &m->network.out;
    uart_sync(m, m->now);
    network_sync(m, m->now);
    if (out->head == out->tail) return 0;
    const Frame *frame = &out->frames[out->tail++ % FRAMES];
    if (frame->bytes > room) return 0;
    memcpy(bytes, frame->data, frame->bytes);
    *ps = frame->ps;
    return frame->bytes;
}

/* Bytes that were sent and are no part of a frame. */
uint64_t machine_lost(const Machine *m) { return m->network.lost; }
