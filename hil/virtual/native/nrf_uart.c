/* The UART of the nRF52840 without DMA (Product Specification, 6.33) as its development kit has it: TXD on P0.06, RXD on P0.08,
 * RTS on P0.05, a host at the other end that takes every byte. Led to other pins it neither sends nor receives.
 *
 * Six characters wait between the wire and RXD. With flow control RTS stops the host while four places or less are free: it
 * begins no character then. The rate is what BAUDRATE says, 16 MHz * BAUDRATE / 2^32.
 */
#include "machine.h"

enum { STARTRX = 0x000, STOPRX = 0x004, STARTTX = 0x008, STOPTX = 0x00c, RXDRDY = 0x108, TXDRDY = 0x11c, ERRORSRC = 0x480,
       ENABLE = 0x500, PSEL_RTS = 0x508, PSEL_TXD = 0x50c, PSEL_RXD = 0x514, RXD = 0x518, TXD = 0x51c, BAUDRATE = 0x524,
       CONFIG = 0x56c };
enum { PIN_RTS = 5, PIN_TXD = 6, PIN_RXD = 8 };
enum { ENABLED = 4, FLOW_CONTROL = 1, PARITY = 0xe, TWO_STOPS = 0x10, DEPTH = 6, HOLD_AT = DEPTH - 4 };

static Rate characters(Machine *m, const Uart *uart)
{
    const uint32_t *regs = bus_bank(m, BLOCK_UART), setting = regs[CONFIG / 4];
    uint64_t bits = 10u + ((setting & PARITY) == PARITY ? 1u : 0) + (setting & TWO_STOPS ? 1u : 0);
    if (uart != &m->uart[0]) return (Rate){0, 1};
    return rate_divide(rate_make(16000000ull * regs[BAUDRATE / 4], 1ull << 32), bits, 1);
}

static void reset(Uart *uart) { uart->depth = DEPTH; }

const UartKind uart_nrf = {.characters = characters, .reset = reset};

/* Tasks start and stop; regs[STARTRX] and regs[STARTTX] say which it was last. */
static void follow(const Access *at, Uart *uart)
{
    const uint32_t *regs = at->regs;
    bool on = (regs[ENABLE / 4] & 15u) == ENABLED;
    uart->sends = on && regs[STARTTX / 4] && regs[PSEL_TXD / 4] == PIN_TXD;
    uart->receives = on && regs[STARTRX / 4] && regs[PSEL_RXD / 4] == PIN_RXD;
    uart->hold_at = on && regs[CONFIG / 4] & FLOW_CONTROL && regs[PSEL_RTS / 4] == PIN_RTS ? HOLD_AT : 0;
    uart_flow(uart, at->now);
    uart_rate(at->m);
}

static uint32_t received(const Access *at, Uart *uart)
{
    uint32_t entry = uart->rx[uart->rx_head];
    if (at->peek) return uart->rx_count ? entry & 0xffu : 0;
    if (!uart_get(uart, at->now, &entry)) return 0;
    uart->got = uart->rx_count != 0; /* RXDRDY comes again for the next */
    effect(at->core);
    return entry & 0xffu;
}

uint32_t nrf_uart_read(const Access *at)
{
    Uart *uart = &at->m->uart[0];
    uart_look(at->m, uart, at->now);
    stable_until(at->core, uart_event(at->m, uart));
    switch (at->offset) {
    case RXDRDY: return uart->got;
    case TXDRDY: return uart->gone;
    case RXD: return received(at, uart);
    case ERRORSRC: return uart->rsr ? 1u : 0; /* overrun: no other error happens here */
    default: return at->offset < 0x100 ? 0 : at->regs[at->offset / 4];
    }
}

static void task(const Access *at, uint32_t value)
{
    bool receives = at->offset <= STOPRX, starts = at->offset == STARTRX || at->offset == STARTTX;
    if (at->offset <= STOPTX && value & 1u) at->regs[(receives ? STARTRX : STARTTX) / 4] = starts;
}

void nrf_uart_write(const Access *at, uint32_t value)
{
    Uart *uart = &at->m->uart[0];
    uart_look(at->m, uart, at->now);
    switch (at->offset) {
    case RXDRDY: uart->got = uart->got && value; break;
    case TXDRDY: uart->gone = uart->gone && value; break;
    case ERRORSRC: uart->rsr = value & 1u ? 0 : uart->rsr; break;
    case TXD:
        if (uart->shifting) note(at->m, NOTE_TX_BUSY, at->core->index, value, 0);
        else uart_put(uart, at->now, (uint8_t)value);
        break;
    default:
        if (at->offset < 0x100) task(at, value);
        else at->regs[at->offset / 4] = value;
        follow(at, uart);
        break;
    }
}
