/* UART0 with its FIFOs and real character times; a host is at the other end of the wire.
 *
 * A character takes ten bits of CLKDIV crystal ticks. Bytes from the host enter one a character time; one that arrives
 * while time stands still is complete at the instant when time goes on. 8N1 alone; no errors happen on this wire.
 */
#include "esp.h"

enum { FIFO = 0x00, CLKDIV = 0x14, STATUS = 0x1c, CONF0 = 0x20, FSM_STATUS = 0x6c, ID = 0x80 };
enum { EMPTY_RX = 1 << 17, EMPTY_TX = 1 << 18, BY_HAND = 1 << 30 };
enum { CHARACTER_PS = 15625 }; /* ten bits of 1/16 of a tick of 25 ns */

static uint64_t character(const EspUart *uart) { return (uint64_t)uart->divider * CHARACTER_PS; }

static bool push(EspFifo *fifo, uint8_t byte)
{
    if (fifo->count == ESP_FIFO) return false;
    fifo->bytes[(fifo->head + fifo->count++) % ESP_FIFO] = byte;
    return true;
}

static uint8_t pop(EspFifo *fifo)
{
    uint8_t byte = fifo->bytes[fifo->head];
    fifo->head = (fifo->head + 1u) % ESP_FIFO;
    fifo->count--;
    return byte;
}

static void start(EspUart *uart, uint64_t ps, uint8_t byte)
{
    uart->shift = byte;
    uart->shifting = true;
    uart->sent_at = ps + character(uart);
}

static void sent(Esp *e)
{
    EspUart *uart = &e->uart;
    EspRing *out = &uart->to_host;
    if (out->head - out->tail < ESP_HOST_BYTES) out->bytes[out->head++ % ESP_HOST_BYTES] = uart->shift;
    else esp_note(e, ESP_NOTE_SENT_LOST, 0, 0);
    uart->shifting = false;
    if (uart->tx.count) start(uart, uart->sent_at, pop(&uart->tx));
}

static void arrived(Esp *e)
{
    EspUart *uart = &e->uart;
    if (!push(&uart->rx, uart->from_host.bytes[uart->from_host.tail++ % ESP_HOST_BYTES]) && !uart->overrun) {
        uart->overrun = true;
        esp_note(e, ESP_NOTE_OVERRUN, 0, 0);
    }
    uart->free_at = uart->due_at = uart->due_at + character(uart);
}

/* Bytes were put into an empty from_host: the first is complete now, or when the line is free again. */
void esp_uart_given(Esp *e)
{
    uint64_t now = esp_ps(e);
    e->uart.due_at = e->uart.free_at > now ? e->uart.free_at : now;
}

uint64_t esp_uart_next(const Esp *e)
{
    const EspUart *uart = &e->uart;
    uint64_t out = uart->shifting ? uart->sent_at : ESP_NEVER;
    uint64_t in = uart->from_host.head != uart->from_host.tail ? uart->due_at : ESP_NEVER;
    return out < in ? out : in;
}

void esp_uart_sync(Esp *e, uint64_t ps)
{
    for (uint64_t at = esp_uart_next(e); at <= ps; at = esp_uart_next(e)) {
        if (e->uart.shifting && e->uart.sent_at == at) sent(e);
        else arrived(e);
    }
}

uint32_t esp_uart_read(Esp *e, uint32_t *bank, uint32_t offset)
{
    EspUart *uart = &e->uart;
    switch (offset) {
    case FIFO:
        if (!uart->rx.count) return 0;
        uart->overrun = false;
        esp_effect(e);
        return pop(&uart->rx);
    case STATUS: return uart->rx.count | uart->tx.count << 16;
    case FSM_STATUS: return uart->shifting ? 1u << 4 : 0;
    default: return bank[offset / 4];
    }
}

/* CLKDIV as written comes into use at once, or when ID's UPDATE asks for it. */
static void take_rate(EspUart *uart, const uint32_t *bank)
{
    uint32_t value = bank[CLKDIV / 4], divider = (value & 0xfffu) << 4 | (value >> 20 & 15u);
    if (divider) uart->divider = divider;
}

void esp_uart_write(Esp *e, uint32_t *bank, uint32_t offset, uint32_t value)
{
    EspUart *uart = &e->uart;
    bank[offset / 4] = value;
    switch (offset) {
    case FIFO:
        if (!uart->shifting) start(uart, esp_ps(e), (uint8_t)value);
        else push(&uart->tx, (uint8_t)value);
        break;
    case CLKDIV:
        if (bank[ID / 4] & BY_HAND) take_rate(uart, bank);
        break;
    case CONF0:
        if (value & EMPTY_RX) uart->rx.count = 0;
        if (value & EMPTY_TX) uart->tx.count = 0;
        break;
    case ID:
        if (value & 0x80000000u) take_rate(uart, bank);
        bank[ID / 4] &= 0x7fffffffu;
        break;
    default: break;
    }
}

/* As the boot ROM leaves it: 115200 baud. Bytes from the host that are on the wire stay there. */
void esp_uart_reset(Esp *e, uint32_t *bank)
{
    EspUart *uart = &e->uart;
    uart->rx = uart->tx = (EspFifo){.count = 0};
    uart->shifting = uart->overrun = false;
    uart->free_at = 0;
    bank[CLKDIV / 4] = 347u | 4u << 20;
    bank[CONF0 / 4] = 0x1000001cu;
    bank[ID / 4] = 0x500u | BY_HAND;
    take_rate(uart, bank);
    if (uart->from_host.head != uart->from_host.tail) esp_uart_given(e);
}
