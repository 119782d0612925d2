/* What UARTs do with characters, whatever their registers are. A host is at the other end of UART0's wire; UART1's leads
 * to other boards, if any (line.c).
 *
 * Both directions are worked out only when somebody looks, up to the cycle of that look. Bytes from the host enter one a
 * character time; a byte that arrives while time stands still is complete at the instant when time goes on. The host
 * takes every byte. Framing, parity and break errors do not happen on these wires.
 */
#include <string.h>

#include "machine.h"

static bool transmits(const Uart *uart) { return uart->sends && uart->char_den; }
static bool is_line(const Machine *m, const Uart *uart) { return uart == &m->uart[1]; }

static uint32_t ring_used(const Ring *ring) { return ring->head - ring->tail; }

/* due += one character, exactly. */
static void add_character(const Uart *uart, uint64_t *due, uint64_t *rem)
{
    *due += uart->char_num / uart->char_den;
    *rem += uart->char_num % uart->char_den;
    if (*rem >= uart->char_den) {
        *rem -= uart->char_den;
        *due += 1;
    }
}

static void set_rate(Machine *m, Uart *uart)
{
    uint64_t old_num = uart->char_num, old_den = uart->char_den;
    Rate characters = m->chip->uart->characters(m, uart);
    uart->char_num = uart->char_den = 0;
    if (characters.num && m->sys.num) {
        Rate cycles = rate_divide(m->sys, characters.num, characters.den);
        uart->char_num = cycles.num;
        uart->char_den = cycles.den;
    }
    if (uart->char_num == old_num && uart->char_den == old_den) return;
    uart->tx_rem = uart->rx_rem = uart->rx_free_rem = 0; /* fractions of another unit now */
}

/* What a character takes has changed. */
void uart_rate(Machine *m)
{
    for (uint32_t i = 0; i < UARTS; i++) set_rate(m, &m->uart[i]);
}

static void start_tx(Uart *uart, uint64_t cycle, uint64_t rem, uint8_t byte)
{
    uart->shift = byte;
    uart->shifting = true;
    uart->tx_done = cycle;
    uart->tx_rem = rem;
    add_character(uart, &uart->tx_done, &uart->tx_rem);
}

void uart_receive(Machine *m, Uart *uart, uint8_t byte)
{
    if (!uart->receives) {
        uart->lost++;
        return;
    }
    if (uart->rx_count >= uart->depth) {
        if (!uart->overrun_next) note(m, NOTE_OVERRUN, 0, is_line(m, uart), 0);
        uart->overrun_next = true;
        uart->ris |= UART_RIS_OVERRUN;
        uart->rsr |= UART_RSR_OVERRUN;
        uart->lost++;
        return;
    }
    uint32_t entry = (byte & uart->mask) | (uart->overrun_next ? (uint32_t)UART_OVERRUN : 0);
    uart->rx[(uart->rx_head + uart->rx_count++) % UART_FIFO] = (uint16_t)entry;
    uart->overrun_next = false;
    uart->got = true;
    uart->held = uart->hold_at && uart->rx_count >= uart->hold_at;
}

static void start_next(Uart *uart, uint64_t cycle, uint64_t rem)
{
    if (!uart->tx_count || !transmits(uart)) return;
    start_tx(uart, cycle, rem, uart->tx[uart->tx_head]);
    uart->tx_head = (uart->tx_head + 1) % UART_FIFO;
    uart->tx_count--;
}

static void sent(Machine *m, Uart *uart)
{
    Ring *out = &uart->to_host;
    uint64_t at = uart->tx_done, rem = uart->tx_rem;
    uart->shifting = false;
    uart->gone = true;
    if (uart->loops) uart_receive(m, uart, uart->shift);
    else if (is_line(m, uart)) line_sent(m, uart->shift, at);
    else if (ring_used(out) < HOST_BYTES) out->bytes[out->head++ % HOST_BYTES] = uart->shift;
    else note(m, NOTE_TX_LOST, 0, 0, 0);
    start_next(uart, at, rem);
}

static void arrived(Machine *m, Uart *uart)
{
    Ring *in = &uart->from_host;
    uint8_t byte = in->bytes[in->tail++ % HOST_BYTES];
    uart->rx_free = uart->rx_due;
    uart->rx_free_rem = uart->rx_rem;
    if (uart->char_den) add_character(uart, &uart->rx_free, &uart->rx_free_rem);
    if (!uart->loops) uart_receive(m, uart, byte);
    uart->rx_due = uart->rx_free;
    uart->rx_rem = uart->rx_free_rem;
}

/* Bytes were put into an empty from_host: the first is complete now, or when the line is free again. */
void uart_given(Machine *m)
{
    Uart *uart = &m->uart[0];
    bool free = uart->rx_free <= m->now;
    uart->rx_due = free ? m->now : uart->rx_free;
    uart->rx_rem = free ? 0 : uart->rx_free_rem;
}

/* RTS: the host begins no byte while it is held. The first behind that takes its time from `cycle` on. */
void uart_flow(Uart *uart, uint64_t cycle)
{
    bool was = uart->held;
    uart->held = uart->hold_at && uart->rx_count >= uart->hold_at;
    if (!was || uart->held || !ring_used(&uart->from_host) || uart->rx_due > cycle || !uart->char_den) return;
    uart->rx_due = cycle;
    uart->rx_rem = 0;
    add_character(uart, &uart->rx_due, &uart->rx_rem);
}

static uint64_t next_out(const Uart *uart) { return uart->shifting ? uart->tx_done : NEVER; }

static uint64_t next_in(const Machine *m, const Uart *uart)
{
    if (is_line(m, uart)) return line_next(m);
    return ring_used(&uart->from_host) && !uart->held ? uart->rx_due : NEVER;
}

/* Cycle of the next byte in or out; NEVER when both directions rest. */
uint64_t uart_event(const Machine *m, const Uart *uart)
{
    uint64_t out = next_out(uart), in = next_in(m, uart);
    return out < in ? out : in;
}

void uart_look(Machine *m, Uart *uart, uint64_t cycle)
{
    for (uint64_t at = uart_event(m, uart); at <= cycle; at = uart_event(m, uart)) {
        if (next_out(uart) == at) sent(m, uart);
        else if (is_line(m, uart)) line_event(m);
        else arrived(m, uart);
    }
}

uint64_t uart_next(const Machine *m)
{
    uint64_t host = uart_event(m, &m->uart[0]), line = uart_event(m, &m->uart[1]);
    return host < line ? host : line;
}

void uart_sync(Machine *m, uint64_t cycle)
{
    for (uint32_t i = 0; i < UARTS; i++) uart_look(m, &m->uart[i], cycle);
}

bool uart_get(Uart *uart, uint64_t cycle, uint32_t *entry)
{
    if (!uart->rx_count) return false;
    *entry = uart->rx[uart->rx_head];
    uart->rx_head = (uart->rx_head + 1) % UART_FIFO;
    uart->rx_count--;
    uart_flow(uart, cycle);
    return true;
}

void uart_put(Uart *uart, uint64_t cycle, uint8_t byte)
{
    if (!uart->shifting && !uart->tx_count && transmits(uart)) start_tx(uart, cycle, 0, byte);
    else if (uart->tx_count < uart->depth) uart->tx[(uart->tx_head + uart->tx_count++) % UART_FIFO] = byte;
}

void uart_go(Uart *uart, uint64_t cycle)
{
    if (!uart->shifting) start_next(uart, cycle, 0);
}

/* RESETS, or power-on. Bytes already on their way stay on the wire. */
void uart_reset(Machine *m, uint32_t index)
{
    Uart *uart = &m->uart[index];
    uart->rx_head = uart->rx_count = uart->tx_head = uart->tx_count = 0;
    uart->overrun_next = uart->shifting = uart->sends = uart->receives = uart->loops = false;
    uart->got = uart->gone = uart->held = false;
    uart->hold_at = 0;
    uart->ris = uart->rsr = 0;
    uart->depth = 1;
    uart->mask = 0xff;
    m->chip->uart->reset(uart);
    set_rate(m, uart);
}
