/* UART0: a PL011 (4.2) with 32-deep FIFOs, a host at the other end of the wire, and real character times.
 *
 * A character takes (start + data + parity + stop bits) * 16 * (IBRD + FBRD / 64) cycles of clk_peri. Both directions
 * are worked out only when somebody looks, up to the cycle of that look. Bytes from the host enter one a character
 * time; a byte that arrives while time stands still is complete at the instant when time goes on. RTRIS, DMA, modem
 * lines and IrDA are not modelled; framing, parity and break errors do not happen on this wire.
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

void uart_rate(Machine *m)
{
    Uart *uart = &m->uart;
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

static void start_tx(Uart *uart, uint64_t cycle, uint64_t rem, uint8_t byte)
{
    uart->shift = byte;
    uart->shifting = true;
    uart->tx_done = cycle;
    uart->tx_rem = rem;
    add_character(uart, &uart->tx_done, &uart->tx_rem);
}

static void receive(Machine *m, uint8_t byte)
{
    Uart *uart = &m->uart;
    if (!receives(uart)) {
        uart->lost++;
        return;
    }
    if (uart->rx_count >= depth(uart)) {
        if (!uart->overrun_next) note(m, NOTE_OVERRUN, 0, 0, 0);
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

static void sent(Machine *m)
{
    Uart *uart = &m->uart;
    Ring *out = &uart->to_host;
    uint64_t at = uart->tx_done, rem = uart->tx_rem;
    uart->shifting = false;
    if (uart->cr & 0x80u) receive(m, uart->shift); /* LBE */
    else if (ring_used(out) < HOST_BYTES) out->bytes[out->head++ % HOST_BYTES] = uart->shift;
    else note(m, NOTE_TX_LOST, 0, 0, 0);
    if (!uart->tx_count || !transmits(uart)) return;
    start_tx(uart, at, rem, uart->tx[uart->tx_head]);
    uart->tx_head = (uart->tx_head + 1) % 32u;
    uart->tx_count--;
}

static void arrived(Machine *m)
{
    Uart *uart = &m->uart;
    Ring *in = &uart->from_host;
    uint8_t byte = in->bytes[in->tail++ % HOST_BYTES];
    uart->rx_free = uart->rx_due;
    uart->rx_free_rem = uart->rx_rem;
    if (uart->char_den) add_character(uart, &uart->rx_free, &uart->rx_free_rem);
    if (!(uart->cr & 0x80u)) receive(m, byte);
    uart->rx_due = uart->rx_free;
    uart->rx_rem = uart->rx_free_rem;
}

/* Bytes were put into an empty from_host: the first is complete now, or when the line is free again. */
void uart_given(Machine *m)
{
    Uart *uart = &m->uart;
    bool free = uart->rx_free <= m->now;
    uart->rx_due = free ? m->now : uart->rx_free;
    uart->rx_rem = free ? 0 : uart->rx_free_rem;
}

/* Cycle of the next byte in or out; NEVER when both directions rest. */
uint64_t uart_next(const Machine *m)
{
    const Uart *uart = &m->uart;
    uint64_t out = uart->shifting ? uart->tx_done : NEVER;
    uint64_t in = ring_used(&uart->from_host) ? uart->rx_due : NEVER;
    return out < in ? out : in;
}

void uart_sync(Machine *m, uint64_t cycle)
{
    for (uint64_t next = uart_next(m); next <= cycle; next = uart_next(m)) {
        if (m->uart.shifting && m->uart.tx_done == next) sent(m);
        else arrived(m);
    }
}

/* Characters in a FIFO of 32 at which an IFLS code says so. */
static uint32_t fifo_level(uint32_t code)
{
    static const uint8_t eighths[8] = {1, 2, 4, 6, 7, 7, 7, 7};
    return eighths[code & 7u] * 4u;
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

static uint32_t data_read(const Access *at)
{
    Uart *uart = &at->m->uart;
    if (!uart->rx_count) return 0;
    uint32_t entry = uart->rx[uart->rx_head];
    if (at->peek) return entry;
    uart->rx_head = (uart->rx_head + 1) % 32u;
    uart->rx_count--;
    uart->rsr = entry & OVERRUN ? 8u : 0;
    effect(at->core);
    return entry;
}

uint32_t uart_read(const Access *at)
{
    static const uint8_t ids[8] = {0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1}; /* PeriphID, PCellID */
    Uart *uart = &at->m->uart;
    uart_sync(at->m, at->now);
    stable_until(at->core, uart_next(at->m));
    if (at->offset >= 0xfe0) return ids[(at->offset - 0xfe0) / 4];
    switch (at->offset) {
    case DR: return data_read(at);
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

static void lcr_write(Machine *m, uint32_t value)
{
    Uart *uart = &m->uart;
    if ((uart->lcr ^ value) & 0x10u) uart->rx_count = uart->tx_count = 0; /* FEN flushes */
    uart->lcr = value & 0xffu;
    uart->active_ibrd = uart->ibrd; /* the divisor takes effect with LCR_H (4.2.7.1) */
    uart->active_fbrd = uart->fbrd;
    uart_rate(m);
}

static void control_write(Uart *uart, uint64_t cycle, uint32_t value)
{
    uart->cr = value & 0xff87u;
    if (!transmits(uart) || uart->shifting || !uart->tx_count) return;
    start_tx(uart, cycle, 0, uart->tx[uart->tx_head]);
    uart->tx_head = (uart->tx_head + 1) % 32u;
    uart->tx_count--;
}

void uart_write(const Access *at, uint32_t value)
{
    Uart *uart = &at->m->uart;
    uart_sync(at->m, at->now);
    switch (at->offset) {
    case DR: data_write(uart, at->now, (uint8_t)value); break;
    case RSR: uart->rsr = 0; break;
    case IBRD: uart->ibrd = value & 0xffffu; break;
    case FBRD: uart->fbrd = value & 0x3fu; break;
    case LCR_H: lcr_write(at->m, value); break;
    case CR: control_write(uart, at->now, value); break;
    case IFLS: uart->ifls = value & 0x3fu; break;
    case IMSC: uart->imsc = value & 0x7ffu; break;
    case ICR: uart->ris &= ~value; break;
    default: at->regs[at->offset / 4] = value; break;
    }
}

/* RESETS, or power-on. Bytes already on their way stay on the wire. */
void uart_reset(Machine *m)
{
    Uart *uart = &m->uart;
    uart->rx_head = uart->rx_count = uart->tx_head = uart->tx_count = 0;
    uart->overrun_next = uart->shifting = false;
    uart->ibrd = uart->fbrd = uart->lcr = uart->imsc = uart->ris = uart->rsr = 0;
    uart->active_ibrd = uart->active_fbrd = 0;
    uart->cr = 0x300;
    uart->ifls = 0x12;
    uart_rate(m);
}
