/* The cable between the W5500 and the switch: one datagram at a time in each direction, at the rate of the wire. */
#include "machine.h"

/* Picoseconds of a datagram on the line: preamble and gap are 20 bytes, Ethernet's header and check 18, IP's header 20,
 * UDP's 8; at least 46 lie between Ethernet's header and check (IEEE 802.3, 3.2.8). Rounded up. */
static uint64_t line_ps(const Machine *m, uint32_t bytes)
{
    const Network *network = &m->network;
    uint64_t inner = bytes + 28u < 46u ? 46u : bytes + 28u;
    return ((inner + 38u) * network->byte_num + network->byte_den - 1u) / network->byte_den;
}

/* The chip sends from `cycle` on. What never `arrives` is on the line all the same. */
void ethernet_send(Machine *m, uint64_t cycle, const uint8_t *frame, uint32_t bytes, bool arrives)
{
    Cable *cable = &m->cable;
    uint64_t begin = network_ps(m, cycle);
    if (cable->out_end != NEVER && cable->out_ps > begin) begin = cable->out_ps; /* of a chip that was reset */
    cable->out_ps = begin + line_ps(m, bytes);
    cable->out_end = network_cycle(m, cable->out_ps);
    if (arrives) network_send(m, cable->out_ps, frame, bytes);
    else m->network.lost += bytes;
}

/* The next frame for this board begins when the line is free. */
static void expect(Machine *m)
{
    Cable *cable = &m->cable;
    const Frame *frame = network_waiting(m);
    cable->in_end = NEVER;
    if (!frame) return;
    if (frame->ps > cable->in_ps) cable->in_ps = frame->ps;
    cable->in_ps += line_ps(m, frame->bytes);
    cable->in_end = network_cycle(m, cable->in_ps);
}

static uint64_t next_change(const Machine *m)
{
    return m->cable.out_end < m->cable.in_end ? m->cable.out_end : m->cable.in_end;
}

/* Let what is on the line arrive up to `cycle`. */
void ethernet_sync(Machine *m, uint64_t cycle)
{
    Cable *cable = &m->cable;
    for (uint64_t next = next_change(m); next != NEVER && next <= cycle; next = next_change(m)) {
        if (cable->out_end == next) {
            cable->out_end = NEVER;
            w5500_left(m);
        } else {
            w5500_arrived(m, network_waiting(m));
            network_taken(m);
            expect(m);
        }
    }
}

/* ---- as a network port ---------------------------------------------------------------------------------------- */

static void sync(Machine *m, uint64_t cycle)
{
    spi_sync(m, cycle); /* what the chip is told on the way comes first */
    ethernet_sync(m, cycle);
}

/* A datagram can be sent now, or when the one before has left. */
static uint64_t soonest(const Machine *m)
{
    uint64_t now = network_ps(m, m->now);
    if (m->limit_ps < now) now = m->limit_ps;
    if (m->cable.out_end != NEVER && m->cable.out_ps > now) now = m->cable.out_ps;
    return now + line_ps(m, 0);
}

static void given(Machine *m)
{
    if (m->cable.in_end == NEVER) expect(m);
}

static void clocks(Machine *m)
{
    Cable *cable = &m->cable;
    if (cable->out_end != NEVER) cable->out_end = network_cycle(m, cable->out_ps);
    if (cable->in_end != NEVER) cable->in_end = network_cycle(m, cable->in_ps);
}

static void power(Machine *m)
{
    m->cable = (Cable){.out_end = NEVER, .in_end = NEVER};
    w5500_power(m);
}

const NetworkPort port_ethernet = {
    .sync = sync, .next = next_change, .soonest = soonest, .given = given, .clocks = clocks, .power = power};
