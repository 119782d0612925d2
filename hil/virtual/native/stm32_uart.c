/* LPUART1 of the STM32L4R5 (RM0432, 51) as the Nucleo has it: TX on PG7, RX on PG8, both isolated until PWR says that VddIO2 is
 * there; a host at the other end that takes every byte. Eight characters wait in either direction if FIFOEN is set, else one.
 *
 * A character takes 10 * BRR / 256 cycles of the clock that CCIPR chooses. Words of 8 bits and one stop bit alone are
 * modelled, without flow control; the rates between BRR's limits only.
 */
#include "machine.h"

enum { CR1 = 0x00, BRR = 0x0c, ISR = 0x1c, ICR = 0x20, RDR = 0x24, TDR = 0x28, PRESC = 0x2c };
enum { UE = 1, RE = 4, TE = 8, FIFOEN = 1 << 29, DEPTH = 8 };
enum { ORE = 1 << 3, RXNE = 1 << 5, TC = 1 << 6, TXE = 1 << 7, BUSY = 1 << 16, TEACK = 1 << 21, REACK = 1 << 22 };
enum { MODER = 0x00, AFRL = 0x20, AFRH = 0x24, ALTERNATE = 2, LPUART1 = 8 };

/* 51.4.7: 0x300 is the least of BRR, and the clock is 3 to 4096 times the rate. */
static Rate characters(Machine *m, const Uart *uart)
{
    const uint32_t *regs = bus_bank(m, BLOCK_UART), divisor = regs[BRR / 4] & 0xfffffu;
    uint32_t source = bus_bank(m, BLOCK_CLOCKS)[0x88 / 4] >> 10 & 3u;
    Rate clock = source == 0 ? m->peri : source == 1 ? m->ref : source == 2 ? rate_make(16000000, 1) : rate_make(32768, 1);
    if (uart != &m->uart[0] || divisor < 0x300u || regs[PRESC / 4]) return (Rate){0, 1};
    return rate_divide(clock, 10ull * divisor, 256);
}

static void reset(Uart *uart) { uart->depth = 1; }

const UartKind uart_stm32 = {.characters = characters, .reset = reset};

static bool is_led(const uint32_t *pins, uint32_t pin)
{
    uint32_t function = pins[(pin < 8 ? AFRL : AFRH) / 4] >> 4 * (pin & 7u) & 15u;
    return (pins[MODER / 4] >> 2 * pin & 3u) == ALTERNATE && function == LPUART1;
}

/* Pins, supply or registers have changed. */
void uart_stm32_follow(Machine *m, uint64_t cycle)
{
    Uart *uart = &m->uart[0];
    const uint32_t control = bus_bank(m, BLOCK_UART)[CR1 / 4], *pins = bus_bank(m, BLOCK_GPIO);
    bool supplied = (bus_bank(m, BLOCK_POWER)[4 / 4] >> 9 & 1u) != 0; /* PWR_CR2.IOSV (5.1.5) */
    uart_look(m, uart, cycle);
    uart->sends = supplied && (control & (UE | TE)) == (UE | TE) && is_led(pins, 7);
    uart->receives = supplied && (control & (UE | RE)) == (UE | RE) && is_led(pins, 8);
    uart->depth = control & FIFOEN ? DEPTH : 1u;
    uart_rate(m);
    uart_go(uart, cycle);
}

static uint32_t status(const Access *at, const Uart *uart)
{
    uint32_t control = at->regs[CR1 / 4], value = uart->rsr ? ORE : 0;
    if (uart->rx_count) value |= RXNE;
    if (uart->tx_count < uart->depth) value |= TXE;
    if (!uart->tx_count && !uart->shifting) value |= TC;
    if (control & UE && control & TE) value |= TEACK;
    if (control & UE && control & RE) value |= REACK;
    return value;
}

static uint32_t received(const Access *at, Uart *uart)
{
    uint32_t entry = 0;
    if (at->peek) return uart->rx_count ? uart->rx[uart->rx_head] & 0xffu : 0;
    if (!uart_get(uart, at->now, &entry)) return 0;
    effect(at->core);
    return entry & 0xffu;
}

uint32_t stm32_uart_read(const Access *at)
{
    Uart *uart = &at->m->uart[0];
    uart_look(at->m, uart, at->now);
    stable_until(at->core, uart_event(at->m, uart));
    switch (at->offset) {
    case ISR: return status(at, uart);
    case RDR: return received(at, uart);
    case ICR: case TDR: return 0;
    default: return at->regs[at->offset / 4];
    }
}

void stm32_uart_write(const Access *at, uint32_t value)
{
    Uart *uart = &at->m->uart[0];
    uart_look(at->m, uart, at->now);
    switch (at->offset) {
    case TDR: uart_put(uart, at->now, (uint8_t)value); break;
    case ICR: uart->rsr = value & ORE ? 0 : uart->rsr; break;
    case ISR: case RDR: break;
    default:
        at->regs[at->offset / 4] = value;
        uart_stm32_follow(at->m, at->now);
        break;
    }
}

void stm32_gpio_write(const Access *at, uint32_t value)
{
    at->regs[at->offset / 4] = value;
    uart_stm32_follow(at->m, at->now);
}
