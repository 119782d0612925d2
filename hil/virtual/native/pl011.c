/* The registers of a PL011 (4.2), with FIFOs of 32: RP2040's and RP2350's UART0 and UART1.
 *
 * A character takes (start + data + parity + stop bits) * 16 * (IBRD + FBRD / 64) cycles of clk_peri. RTRIS, DMA, IrDA and
 * modem lines but for UART1's RTS and CTS are not modelled, and CTS is always there: the other end takes every byte.
 */
#include "machine.h"

enum { DR = 0x00, RSR = 0x04, FR = 0x18, IBRD = 0x24, FBRD = 0x28, LCR_H = 0x2c, CR = 0x30, IFLS = 0x34, IMSC = 0x38,
       RIS = 0x3c, MIS = 0x40, ICR = 0x44 };
enum { INT_RX = 0x10, INT_TX = 0x20 };

static bool is_line(const Machine *m, const Uart *uart) { return uart == &m->uart[1]; }

static Rate characters(Machine *m, const Uart *uart)
{
    uint64_t bits = 1u + 5u + (uart->lcr >> 5 & 3u) + (uart->lcr >> 1 & 1u) + 1u + (uart->lcr >> 3 & 1u);
    uint64_t divisor = (uint64_t)uart->active_ibrd * 64u + uart->active_fbrd;
    if (!uart->active_ibrd || !m->peri.num) return (Rate){0, 1};
    return rate_divide(m->peri, bits * 16u * divisor, 64);
}

/* What CR and LCR_H say. */
static void follow(Uart *uart)
{
    uart->sends = (uart->cr & 0x101u) == 0x101u;
    uart->receives = (uart->cr & 0x201u) == 0x201u;
    uart->loops = (uart->cr & 0x80u) != 0;
    uart->depth = uart->lcr & 0x10u ? UART_FIFO : 1u;
    uart->mask = (1u << (5u + (uart->lcr >> 5 & 3u))) - 1u;
}

static void reset(Uart *uart)
{
    uart->ibrd = uart->fbrd = uart->lcr = uart->imsc = 0;
    uart->active_ibrd = uart->active_fbrd = 0;
    uart->cr = 0x300;
    uart->ifls = 0x12;
    follow(uart);
}

const UartKind uart_pl011 = {.characters = characters, .reset = reset};

/* Characters in a FIFO of 32 at which an IFLS code says so. */
static uint32_t fifo_level(uint32_t code)
{
    static const uint8_t eighths[8] = {1, 2, 4, 6, 7, 7, 7, 7};
    return eighths[code & 7u] * 4u;
}

/* Whether RTS, which is active low, is asserted: RTSEN ties it to the receive FIFO's level (4.2.6.1). */
bool pl011_ready(const Uart *uart)
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
    if (uart->rx_count >= uart->depth) value |= 0x40u;
    if (uart->tx_count >= uart->depth) value |= 0x20u;
    if (!uart->rx_count) value |= 0x10u;
    if (uart->shifting || uart->tx_count) value |= 0x08u;
    return value;
}

static uint32_t data_read(const Access *at, Uart *uart)
{
    uint32_t entry = 0;
    if (at->peek) return uart->rx_count ? uart->rx[uart->rx_head] : 0;
    if (!uart_get(uart, at->now, &entry)) return 0;
    uart->rsr = entry & UART_OVERRUN ? UART_RSR_OVERRUN : 0;
    if (is_line(at->m, uart)) line_ready(at->m, at->now);
    effect(at->core);
    return entry;
}

static uint32_t register_read(const Access *at, Uart *uart)
{
    static const uint8_t ids[8] = {0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1}; /* PeriphID, PCellID */
    uart_look(at->m, uart, at->now);
    stable_until(at->core, uart_event(at->m, uart));
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

static void lcr_write(Machine *m, Uart *uart, uint32_t value)
{
    if ((uart->lcr ^ value) & 0x10u) uart->rx_count = uart->tx_count = 0; /* FEN flushes */
    uart->lcr = value & 0xffu;
    uart->active_ibrd = uart->ibrd; /* the divisor takes effect with LCR_H (4.2.7.1) */
    uart->active_fbrd = uart->fbrd;
    follow(uart);
    uart_rate(m);
}

static void control_write(Uart *uart, uint64_t cycle, uint32_t value)
{
    uart->cr = value & 0xff87u;
    follow(uart);
    uart_go(uart, cycle);
}

static void register_write(const Access *at, Uart *uart, uint32_t value)
{
    uart_look(at->m, uart, at->now);
    switch (at->offset) {
    case DR: uart_put(uart, at->now, (uint8_t)value); break;
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

uint32_t pl011_read(const Access *at) { return register_read(at, &at->m->uart[0]); }
uint32_t pl011_1_read(const Access *at) { return register_read(at, &at->m->uart[1]); }
void pl011_write(const Access *at, uint32_t value) { register_write(at, &at->m->uart[0], value); }
void pl011_1_write(const Access *at, uint32_t value) { register_write(at, &at->m->uart[1], value); }
