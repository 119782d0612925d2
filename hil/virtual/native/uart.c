/* UART0 and UART1: PL011s (4.2) with 32-deep FIFOs and real character times. A host is at the other end of UART0's
 * wire; UART1's leads to other boards, if any (line.c).
 *
 * A character takes (start + data + parity + stop bits) * 16 * (IBRD + FBRD / 64) cycles of clk_peri. Both directions
 * are worked out only when somebody looks, up to the cycle of that look. Bytes from the host enter one a character
 * time; a byte that arrives while time stands still is complete at the instant when time goes on. RTRIS, DMA, IrDA and
 * modem lines but for UART1's RTS and CTS are not modelled, and CTS is always there: the other end takes every byte.
 * Framing, parity and break errors do not happen on these wires.
 */
#include <string.h>

#include "machine.h"

enum { DR = 0x00, RSR = 0x04, FR = 0x18, IBRD = 0x24, FBRD = 0x28, LCR_H = 0x2c, CR = 0x30, IFLS = 0x34, IMSC = 0x38,
       RIS = 0x3c, MIS = 0x40, ICR = 0x44 };
enum { OVERRUN = 0x800, INT_RX = 0x10, INT_TX = 0x20, INT_OVERRUN = 0x400 };

static uint32_t depth(const Uart *uart) { return uart->lcr & 0x10u ? 32u : 1u; }
static bool enabled(const Uart *uart, uint32_t direction) { return (uart->cr & 1u) && (uart->cr & direction); }
static bool transmits(const Uart *uart) { return enabled(uart, 0x100u) && uart->char_den; }
static bool receives(const Uart *uart) { return enabled(uart, 0x200u); }

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

static void set_rate(const Machine *m, Uart *uart)
{
    uint64_t bits = 1u + 5u + (uart->lcr >> 5 & 3u) + (uart->lcr >> 1 & 1u) + 1u + (uart->lcr >> 3 & 1u);
    uint64_t divisor = (uint64_t)uart->active_ibrd * 64u + uart->active_fbrd;
    uint64_t old_num = uart->char_num, old_den = uart->char_den;
    uart->char_num = uart->char_den = 0;
    if (uart->active_ibrd && m->peri.num && m->sys.num) {
        Rate cycles = rate_divide(rate_divide(m->sys, m->peri.num, m->peri.den), 64, bits * 16u * divisor);
        uart->char_num = cycles.num;
        uart->char_den = cycles.den;
    }
    if (uart->char_num == old_num && uart->char_den == old_den) return;
    uart->tx_rem = uart->rx_rem = uart->rx_free_rem = 0; /* fractions of another unit now */
}

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
    if (!receives(uart)) {
        uart->lost++;
        return;
    }
    if (uart->rx_count >= depth(uart)) {
        if (!uart->overrun_next) note(m, NOTE_OVERRUN, 0, is_line(m, uart), 0);
        uart->overrun_next = true;
        uart->ris |= INT_OVERRUN;
        uart->rsr |= 8u;
        uart->lost++;
        return;
    }
    uint32_t mask = (1u << (5u + (uart->lcr >> 5 & 3u))) - 1u;
    uart->rx[(uart->rx_head + uart->rx_count++) % 32u] = (uint16_t)((byte & mask) | (uart->overrun_next ? OVERRUN : 0));
    uart->overrun_next = false;
}

static void sent(Machine *m, Uart *uart)
{
    Ring *out = &uart->to_host;
    uint64_t at = uart->tx_done, rem = uart->tx_rem;
    uart->shifting = false;
    if (uart->cr & 0x80u) uart_receive(m, uart, uart->shift); /* LBE */
    else if (is_line(m, uart)) line_sent(m, uart->shift, at);
    else if (ring_used(out) < HOST_BYTES) out->bytes[out->head++ % HOST_BYTES] = uart->shift;
    else note(m, NOTE_TX_LOST, 0, 0, 0);
    if (!uart->tx_count || !transmits(uart)) return;
    start_tx(uart, at, rem, uart->tx[uart->tx_head]);
    uart->tx_head = (uart->tx_head + 1) % 32u;
    uart->tx_count--;
}

static void arrived(Machine *m, Uart *uart)
{
    Ring *in = &uart->from_host;
    uint8_t byte = in->bytes[in->tail++ % HOST_BYTES];
    uart->rx_free = uart->rx_due;
    uart->rx_free_rem = uart->rx_rem;
    if (uart->char_den) add_character(uart, &uart->rx_free, &uart->rx_free_rem);
    if (!(uart->cr & 0x80u)) uart_receive(m, uart, byte);
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

static uint64_t next_out(const Uart *uart) { return uart->shifting ? uart->tx_done : NEVER; }

static uint64_t next_in(const Machine *m, const Uart *uart)
{
    if (is_line(m, uart)) return line_next(m);
    return ring_used(&uart->from_host) ? uart->rx_due : NEVER;
}

/* Cycle of the next byte in or out; NEVER when both directions rest. */
static uint64_t next(const Machine *m, const Uart *uart)
{
    uint64_t out = next_out(uart), in = next_in(m, uart);
    return out < in ? out : in;
}

static void sync(Machine *m, Uart *uart, uint64_t cycle)
{
    for (uint64_t at = next(m, uart); at <= cycle; at = next(m, uart)) {
        if (next_out(uart) == at) sent(m, uart);
        else if (is_line(m, uart)) line_event(m);
        else arrived(m, uart);
    }
}

uint64_t uart_next(const Machine *m)
{
    uint64_t host = next(m, &m->uart[0]), line = next(m, &m->uart[1]);
    return host < line ? host : line;
}

void uart_sync(Machine *m, uint64_t cycle)
{
    for (uint32_t i = 0; i < UARTS; i++) sync(m, &m->uart[i], cycle);
}

/* Characters in a FIFO of 32 at which an IFLS code says so. */
static uint32_t fifo_level(uint32_t code)
{
    static const uint8_t eighths[8] = {1, 2, 4, 6, 7, 7, 7, 7};
    return eighths[code & 7u] * 4u;
}

/* Whether RTS, which is active low, is asserted: RTSEN ties it to the receive FIFO's level (4.2.6.1). */
bool uart_ready(const Uart *uart)
{
    if (!(uart->cr & 0x4000u)) return (uart->cr & 0x800u) != 0;
    return uart->rx_count < (uart->lcr & 0x10u ? fifo_level(uart->ifls >> 3) : 1u);
}

/* RX and TX bits are levels here: they follow the FIFOs, as polling software sees them. */
static uint32_t raw_interrupts(const Uart *uart)
{
    uint32_t ris = uart->ris;
    bool fifo = (uart->lcr & 0x10u) != 0;
    uint32_t rx_level = fifo ? fifo_level(uart->ifls >> 3) : 1;
    uint32_t tx_level = fifo ? fifo_level(uart->ifls) : 0;
    if (uart->rx_count >= rx_level) ris |= INT_RX;
    if (uart->tx_count <= tx_level) ris |= INT_TX;
    return ris;
}

static uint32_t flags(const Uart *uart)
{
    uint32_t value = 0x01; /* CTS: the wire is there */
    if (!uart->tx_count) value |= 0x80u;
    if (uart->rx_count >= depth(uart)) value |= 0x40u;
    if (uart->tx_count >= depth(uart)) value |= 0x20u;
    if (!uart->rx_count) value |= 0x10u;
    if (uart->shifting || uart->tx_count) value |= 0x08u;
    return value;
}

static uint32_t data_read(const Access *at, Uart *uart)
{
    if (!uart->rx_count) return 0;
    uint32_t entry = uart->rx[uart->rx_head];
    if (at->peek) return entry;
    uart->rx_head = (uart->rx_head + 1) % 32u;
    uart->rx_count--;
    uart->rsr = entry & OVERRUN ? 8u : 0;
    if (is_line(at->m, uart)) line_ready(at->m, at->now);
    effect(at->core);
    return entry;
}

static uint32_t register_read(const Access *at, Uart *uart)
{
    static const uint8_t ids[8] = {0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1}; /* PeriphID, PCellID */
    sync(at->m, uart, at->now);
    stable_until(at->core, next(at->m, uart));
    if (at->offset >= 0xfe0) return ids[(at->offset - 0xfe0) / 4];
    switch (at->offset) {
    case DR: return data_read(at, uart);
    case RSR: return uart->rsr;
    case FR: return flags(uart);
    case IBRD: return uart->ibrd;
    case FBRD: return uart->fbrd;
    case LCR_H: return uart->lcr;
    case CR: return uart->cr;
    case IFLS: return uart->ifls;
    case IMSC: return uart->imsc;
    case RIS: return raw_interrupts(uart);
    case MIS: return raw_interrupts(uart) & uart->imsc;
    case ICR: return 0;
    default: return at->regs[at->offset / 4];
    }
}

static void data_write(Uart *uart, uint64_t cycle, uint8_t byte)
{
    if (!uart->shifting && !uart->tx_count && transmits(uart)) start_tx(uart, cycle, 0, byte);
    else if (uart->tx_count < depth(uart)) uart->tx[(uart->tx_head + uart->tx_count++) % 32u] = byte;
}

static void lcr_write(const Machine *m, Uart *uart, uint32_t value)
{
    if ((uart->lcr ^ value) & 0x10u) uart->rx_count = uart->tx_count = 0; /* FEN flushes */
    uart->lcr = value & 0xffu;
    uart->active_ibrd = uart->ibrd; /* the divisor takes effect with LCR_H (4.2.7.1) */
    uart->active_fbrd = uart->fbrd;
    set_rate(m, uart);
}

static void control_write(Uart *uart, uint64_t cycle, uint32_t value)
{
    uart->cr = value & 0xff87u;
    if (!transmits(uart) || uart->shifting || !uart->tx_count) return;
    start_tx(uart, cycle, 0, uart->tx[uart->tx_head]);
    uart->tx_head = (uart->tx_head + 1) % 32u;
    uart->tx_count--;
}

static void register_write(const Access *at, Uart *uart, uint32_t value)
{
    sync(at->m, uart, at->now);
    switch (at->offset) {
    case DR: data_write(uart, at->now, (uint8_t)value); break;
    case RSR: uart->rsr = 0; break;
    case IBRD: uart->ibrd = value & 0xffffu; break;
    case FBRD: uart->fbrd = value & 0x3fu; break;
    case LCR_H: lcr_write(at->m, uart, value); break;
    case CR: control_write(uart, at->now, value); break;
    case IFLS: uart->ifls = value & 0x3fu; break;
    case IMSC: uart->imsc = value & 0x7ffu; break;
    case ICR: uart->ris &= ~value; break;
    default: at->regs[at->offset / 4] = value; break;
    }
    if (is_line(at->m, uart)) line_ready(at->m, at->now);
}

uint32_t uart_read(const Access *at) { return register_read(at, &at->m->uart[0]); }
uint32_t uart1_read(const Access *at) { return register_read(at, &at->m->uart[1]); }
void uart_write(const Access *at, uint32_t value) { register_write(at, &at->m->uart[0], value); }
void uart1_write(const Access *at, uint32_t value) { register_write(at, &at->m->uart[1], value); }

/* RESETS, or power-on. Bytes already on their way stay on the wire. */
void uart_reset(Machine *m, uint32_t index)
{
    Uart *uart = &m->uart[index];
    uart->rx_head = uart->rx_count = uart->tx_head = uart->tx_count = 0;
    uart->overrun_next = uart->shifting = false;
    uart->ibrd = uart->fbrd = uart->lcr = uart->imsc = uart->ris = uart->rsr = 0;
    uart->active_ibrd = uart->active_fbrd = 0;
    uart->cr = 0x300;
    uart->ifls = 0x12;
    set_rate(m, uart);
}
