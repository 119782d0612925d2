/* SIO (2.3.1): core number, GPIO, mailboxes, spinlocks, dividers. The interpolators are storage only.
 * XIP_SSI (4.10) as far as a second-stage boot needs it: a serial flash that is always ready and in quad mode. */
#include "machine.h"

enum { GPIO_OUT = 0x10, FIFO_ST = 0x50, FIFO_WR = 0x54, FIFO_RD = 0x58, LOCK_ST = 0x5c, DIVIDER = 0x60, DIVIDER_END = 0x7c };
enum { DIVIDER_CYCLES = 8 };

static Core *other(const Access *at) { return &at->m->core[1 - at->core->index]; }

static uint32_t mailbox_status(const Access *at)
{
    const Mailbox *in = &at->core->inbox, *out = &other(at)->inbox;
    return (in->count ? 1u : 0) | (out->count < at->m->chip->mailbox_words ? 2u : 0) | (in->overflow ? 4u : 0) | (in->underflow ? 8u : 0);
}

static uint32_t mailbox_pop(const Access *at)
{
    Mailbox *in = &at->core->inbox;
    if (at->peek) return 0;
    if (!in->count) {
        if (!in->underflow) effect(at->core);
        in->underflow = true;
        return 0;
    }
    uint32_t word = in->words[in->head];
    in->head = (in->head + 1) % 8u;
    in->count--;
    effect(at->core);
    return word;
}

/* WOF belongs to the writer: it is kept with the writer's own inbox, where FIFO_ST shows it. */
static void mailbox_push(const Access *at, uint32_t word)
{
    Mailbox *out = &other(at)->inbox;
    if (out->count == at->m->chip->mailbox_words) at->core->inbox.overflow = true;
    else out->words[(out->head + out->count++) % 8u] = word;
    at->core->budget = 0; /* the other core sees it from here on */
}

static void divide(Divider *d, uint64_t now)
{
    uint32_t n = d->dividend, by = d->divisor;
    bool n_negative = d->is_signed && (int32_t)n < 0, by_negative = d->is_signed && (int32_t)by < 0;
    uint32_t n_size = n_negative ? 0u - n : n, by_size = by_negative ? 0u - by : by;
    d->ready = now + DIVIDER_CYCLES;
    d->dirty = true;
    if (!by) {
        d->quotient = d->is_signed && n_negative ? 1u : UINT32_MAX;
        d->remainder = n;
        return;
    }
    d->quotient = n_negative != by_negative ? 0u - n_size / by_size : n_size / by_size;
    d->remainder = n_negative ? 0u - n_size % by_size : n_size % by_size;
}

static uint32_t divider_read(const Access *at)
{
    Divider *d = &at->core->divider;
    switch (at->offset) {
    case 0x60: case 0x68: return d->dividend;
    case 0x64: case 0x6c: return d->divisor;
    case 0x70:
        if (!at->peek && d->dirty) effect(at->core);
        d->dirty = d->dirty && at->peek;
        return d->quotient;
    case 0x74: return d->remainder;
    case 0x78:
        if (at->now < d->ready) stable_until(at->core, d->ready);
        return (at->now >= d->ready ? 1u : 0) | (d->dirty ? 2u : 0);
    default: return 0;
    }
}

static void divider_write(const Access *at, uint32_t value)
{
    Divider *d = &at->core->divider;
    switch (at->offset) {
    case 0x60: case 0x68: d->dividend = value; break;
    case 0x64: case 0x6c: d->divisor = value; break;
    case 0x70: d->quotient = value; break;
    case 0x74: d->remainder = value; break;
    default: return;
    }
    d->is_signed = at->offset == 0x68 || at->offset == 0x6c;
    if (at->offset < 0x70) divide(d, at->now);
    else d->dirty = true;
}

static uint32_t lock_claim(const Access *at)
{
    uint32_t bit = 1u << (at->offset - 0x100u) / 4u;
    if (at->m->locks & bit) return 0;
    at->m->locks |= bit;
    effect(at->core);
    return bit;
}

static bool is_divider(const Access *at)
{
    return at->m->chip->has_divider && at->offset >= DIVIDER && at->offset < DIVIDER_END;
}

/* GPIO_OUT, its set, clear and XOR, then the same for GPIO_OE: 0 to 7, or 8 for anything else. RP2350's registers for
 * pins that its package does not have lie between them. */
static uint32_t gpio_register(const Access *at)
{
    uint32_t step = at->m->chip->gpio_step, from = at->offset - GPIO_OUT;
    return from < 8 * step && from % step == 0 ? from / step : 8u;
}

uint32_t sio_read(const Access *at)
{
    if (at->offset >= 0x100 && at->offset < 0x180) return lock_claim(at);
    if (is_divider(at)) return divider_read(at);
    if (at->offset >= 0x80 && at->offset < 0x100) note(at->m, NOTE_INTERPOLATOR, at->core->index, at->offset, 0);
    if (gpio_register(at) == 0) return at->m->gpio_out;
    if (gpio_register(at) == 4) return at->m->gpio_oe;
    switch (at->offset) {
    case 0x00: return at->core->index;
    case 0x04: return (at->m->gpio_out & at->m->gpio_oe) | w5500_interrupt(at); /* what they drive; the rest are low */
    case FIFO_ST: return mailbox_status(at);
    case FIFO_RD: return mailbox_pop(at);
    case LOCK_ST: return at->m->locks;
    default: return at->regs[at->offset / 4];
    }
}

static void gpio_write(uint32_t *pins, uint32_t how, uint32_t value)
{
    value &= 0x3fffffffu;
    switch (how) {
    case 0: *pins = value; break;
    case 1: *pins |= value; break;
    case 2: *pins &= ~value; break;
    default: *pins ^= value; break;
    }
}

void sio_write(const Access *at, uint32_t value)
{
    if (at->offset >= 0x100 && at->offset < 0x180) {
        at->m->locks &= ~(1u << (at->offset - 0x100u) / 4u);
        return;
    }
    if (is_divider(at)) {
        divider_write(at, value);
        return;
    }
    uint32_t pins = gpio_register(at);
    if (pins < 8) {
        spi_sync(at->m, at->now);
        gpio_write(pins < 4 ? &at->m->gpio_out : &at->m->gpio_oe, pins & 3u, value);
        w5500_pins(at->m, at->now);
        return;
    }
    switch (at->offset) {
    case FIFO_ST: at->core->inbox.overflow = at->core->inbox.underflow = false; break;
    case FIFO_WR: mailbox_push(at, value); break;
    default: at->regs[at->offset / 4] = value; break;
    }
}

void sio_reset(Machine *m)
{
    m->locks = m->gpio_out = m->gpio_oe = 0;
}

/* The first word sent to an empty receive FIFO is a command; the flash answers what follows it. */
static uint32_t flash_reply(Machine *m, uint32_t word)
{
    static const uint8_t jedec[3] = {0xef, 0x40, 0x15}; /* W25Q16JV */
    if (!m->ssi_count) {
        m->ssi_command = word & 0xffu;
        return 0;
    }
    if (m->ssi_command == 0x35) return 0x02; /* status 2: quad enabled */
    if (m->ssi_command == 0x9f && m->ssi_count <= 3) return jedec[m->ssi_count - 1];
    return 0;
}

uint32_t ssi_read(const Access *at)
{
    Machine *m = at->m;
    switch (at->offset) {
    case 0x24: return m->ssi_count;                    /* RXFLR */
    case 0x28: return 6u | (m->ssi_count ? 8u : 0);    /* SR: TFNF, TFE, RFNE; never busy */
    case 0x58: return 0x3430312au;                     /* SSI_VERSION_ID */
    case 0x60: break;
    default: return at->regs[at->offset / 4];
    }
    if (!m->ssi_count || at->peek) return 0;
    uint32_t word = m->ssi_reply[0];
    m->ssi_count--;
    for (uint32_t i = 0; i < m->ssi_count; i++) m->ssi_reply[i] = m->ssi_reply[i + 1];
    effect(at->core);
    return word;
}

void ssi_write(const Access *at, uint32_t value)
{
    Machine *m = at->m;
    if (at->offset != 0x60) {
        at->regs[at->offset / 4] = value;
        if (at->offset == 0x08 && !(value & 1u)) m->ssi_count = 0; /* disabled: FIFOs empty */
        return;
    }
    if (m->ssi_count >= 16) return;
    uint32_t reply = flash_reply(m, value);
    m->ssi_reply[m->ssi_count++] = reply;
}
