/* UART1's line to the switch of a network: frames that are stuffed between zeros, byte by byte in both directions.
 *
 * Out: a frame is whole when the zero behind it has left; what is no frame is dropped and counted. In: the switch sends
 * a byte in the line's byte time, one behind the other, but begins none while the board's RTS, on GPIO 7, is not
 * asserted. Nothing drives a pin that is not given to the UART, and its pull-down reads as asserted.
 */
#include "machine.h"

enum { PIN_TX = 4, PIN_RX = 5, PIN_RTS = 7, FUNCTION_UART = 2 };
enum { SHORTEST = 37 }; /* bytes of the shortest frame and the zero behind it, and some less: see hil/link/switch.py */

static bool has_pin(Machine *m, uint32_t pin)
{
    return (bus_bank(m, BLOCK_PINS)[2u * pin + 1u] & 0x1fu) == FUNCTION_UART;
}

static void lose(Machine *m, uint64_t bytes)
{
    if (!m->network.lost) note(m, NOTE_NO_FRAME, 0, 0, 0);
    m->network.lost += bytes;
}

/* ---- to the switch ------------------------------------------------------------------------------------------- */

static void finish(Machine *m, uint64_t cycle)
{
    Line *line = &m->line;
    uint8_t frame[FRAME_BYTES];
    uint32_t bytes = line->spoilt ? 0 : unstuff(line->partial, line->used, frame, sizeof frame);
    if (bytes) network_send(m, network_ps(m, cycle), frame, bytes);
    else lose(m, line->used);
    line->used = 0;
    line->spoilt = false;
}

/* A byte has left UART1 at `cycle`. */
void line_sent(Machine *m, uint8_t byte, uint64_t cycle)
{
    Line *line = &m->line;
    if (m->network.port != &port_uart) return; /* into the air */
    if (!has_pin(m, PIN_TX)) {
        lose(m, 1);
    } else if (!byte) {
        if (line->used) finish(m, cycle);
    } else if (line->used < sizeof line->partial) {
        line->partial[line->used++] = byte;
    } else {
        line->spoilt = true;
        lose(m, 1);
    }
}

/* ---- from the switch ----------------------------------------------------------------------------------------- */

static bool ready(Machine *m) { return !has_pin(m, PIN_RTS) || pl011_ready(&m->uart[1]); }

static void expect(Machine *m, LinePhase phase, uint64_t ps)
{
    Line *line = &m->line;
    line->phase = phase;
    line->event_ps = ps;
    line->event = network_cycle(m, ps);
}

/* The next byte of the frame, or of the next frame, begins as soon as the line is free. */
static void plan(Machine *m)
{
    Line *line = &m->line;
    const Frame *frame = network_waiting(m);
    line->phase = LINE_RESTS;
    line->event = NEVER;
    if (line->at == line->bytes) {
        if (!frame) return;
        line->bytes = stuff(frame->data, frame->bytes, line->stuffed, sizeof line->stuffed);
        line->at = 0;
        if (frame->ps > line->free) {
            line->free = frame->ps;
            line->rem = 0;
        }
        network_taken(m);
    }
    expect(m, LINE_STARTS, line->free);
}

/* A byte begins: it is whole a byte time later. */
static void carry(Machine *m)
{
    Line *line = &m->line;
    const Network *network = &m->network;
    line->free += network->byte_num / network->byte_den;
    line->rem += network->byte_num % network->byte_den;
    if (line->rem >= network->byte_den) {
        line->rem -= network->byte_den;
        line->free++;
    }
    expect(m, LINE_CARRIES, line->free);
}

uint64_t line_next(const Machine *m) { return m->line.event; }

void line_event(Machine *m)
{
    Line *line = &m->line;
    if (line->phase == LINE_CARRIES) {
        if (has_pin(m, PIN_RX)) uart_receive(m, &m->uart[1], line->stuffed[line->at]);
        else lose(m, 1);
        line->at++;
        plan(m);
    } else if (ready(m)) {
        carry(m);
    } else {
        line->phase = LINE_HELD;
        line->event = NEVER;
    }
}

/* RTS may be asserted again. */
void line_ready(Machine *m, uint64_t cycle)
{
    Line *line = &m->line;
    if (line->phase != LINE_HELD || !ready(m)) return;
    line->free = network_ps(m, cycle);
    line->rem = 0;
    carry(m);
}

/* ---- as a network port ---------------------------------------------------------------------------------------- */

static void given(Machine *m)
{
    if (m->line.phase == LINE_RESTS) plan(m);
}

static void clocks(Machine *m)
{
    if (m->line.event != NEVER) m->line.event = network_cycle(m, m->line.event_ps);
}

static void power(Machine *m)
{
    m->line = (Line){.event = NEVER};
}

static uint64_t character_ps(const Machine *m)
{
    const Uart *uart = &m->uart[1];
    uint64_t line = m->network.byte_num / m->network.byte_den;
    if (!uart->char_den || !m->world.den) return line;
    double cycles = (double)uart->char_num / (double)uart->char_den;
    uint64_t own = (uint64_t)(cycles * (double)m->world.num / (double)m->world.den);
    return own < line ? own : line;
}

/* No frame is whole before the first zero that is on its way and ends one, or else before what is here has left. */
static uint64_t soonest(const Machine *m)
{
    const Uart *uart = &m->uart[1];
    uint64_t now = network_ps(m, m->now), character = character_ps(m);
    bool begun = m->line.used > 0;
    if (m->limit_ps < now) now = m->limit_ps;
    if (!uart->shifting) return now + (begun || uart->tx_count ? 1u : SHORTEST) * character;
    uint64_t end = network_ps(m, uart->tx_done);
    if (end < now) end = now;
    if (begun && !uart->shift) return end;
    begun = begun || uart->shift;
    for (uint32_t i = 0; i < uart->tx_count; i++) {
        end += character;
        if (begun && !uart->tx[(uart->tx_head + i) % 32u]) return end;
        begun = begun || uart->tx[(uart->tx_head + i) % 32u];
    }
    return end + character;
}

const NetworkPort port_uart = {.soonest = soonest, .given = given, .clocks = clocks, .power = power};
