/* SPI0: a PL022 (4.4) as master, with the W5500 at the other end of its pins, and real bit times.
 *
 * A word takes its bits * CPSDVSR * (1 + SCR) cycles of clk_peri. In mode 3 (SPO 1, SPH 1) words follow each other
 * without a gap; with SPH 0 the PL022 lifts its own select line between them, for a time that is not modelled. Whatever
 * is not mode 3 with 8 bits gets a note. What has been shifted is worked out only when somebody looks. DMA and
 * interrupts are not modelled; the raw interrupt flags are.
 */
#include "machine.h"

enum { CR0 = 0x00, CR1 = 0x04, DR = 0x08, SR = 0x0c, CPSR = 0x10, IMSC = 0x14, RIS = 0x18, MIS = 0x1c, ICR = 0x20 };
enum { CR1_LOOP = 1, CR1_ENABLE = 2, CR1_SLAVE = 4 };
enum { INT_OVERRUN = 1, INT_RX = 4, INT_TX = 8 };

static uint32_t bits_of(const Spi *spi) { return (spi->cr0 & 15u) + 1u; }

static bool runs(const Spi *spi)
{
    return (spi->cr1 & (CR1_ENABLE | CR1_SLAVE)) == CR1_ENABLE && spi->word_den && bits_of(spi) >= 4;
}

void spi_rate(Machine *m)
{
    Spi *spi = &m->spi;
    uint64_t old_num = spi->word_num, old_den = spi->word_den;
    spi->word_num = spi->word_den = 0;
    if (spi->cpsr >= 2 && m->peri.num && m->sys.num) {
        uint64_t divisor = (uint64_t)spi->cpsr * (1u + (spi->cr0 >> 8 & 0xffu)) * bits_of(spi);
        Rate cycles = rate_divide(rate_divide(m->sys, m->peri.num, m->peri.den), 1, divisor);
        spi->word_num = cycles.num;
        spi->word_den = cycles.den;
    }
    if (spi->word_num != old_num || spi->word_den != old_den) spi->rem = 0; /* a fraction of another unit now */
}

static void start(Spi *spi, uint64_t cycle, uint64_t rem)
{
    spi->shift = spi->tx[spi->tx_head];
    spi->tx_head = (spi->tx_head + 1) % SPI_DEPTH;
    spi->tx_count--;
    spi->shifting = true;
    spi->done = cycle + spi->word_num / spi->word_den;
    spi->rem = rem + spi->word_num % spi->word_den;
    if (spi->rem < spi->word_den) return;
    spi->rem -= spi->word_den;
    spi->done++;
}

static void shifted(Machine *m)
{
    Spi *spi = &m->spi;
    uint64_t at = spi->done, rem = spi->rem;
    uint16_t reply = spi->shift;
    if (!(spi->cr1 & CR1_LOOP)) reply = bits_of(spi) == 8 ? w5500_byte(m, at, (uint8_t)spi->shift) : 0;
    spi->shifting = false;
    if (spi->rx_count < SPI_DEPTH) spi->rx[(spi->rx_head + spi->rx_count++) % SPI_DEPTH] = reply;
    else spi->overrun = true;
    if (spi->tx_count && runs(spi)) start(spi, at, rem);
}

void spi_sync(Machine *m, uint64_t cycle)
{
    while (m->spi.shifting && m->spi.done <= cycle) shifted(m);
}

static uint32_t raw_interrupts(const Spi *spi)
{
    return (spi->overrun ? INT_OVERRUN : 0) | (spi->rx_count >= SPI_DEPTH / 2 ? INT_RX : 0) |
           (spi->tx_count <= SPI_DEPTH / 2 ? INT_TX : 0);
}

static uint32_t status(const Spi *spi)
{
    return (spi->tx_count ? 0 : 1u) | (spi->tx_count < SPI_DEPTH ? 2u : 0) | (spi->rx_count ? 4u : 0) |
           (spi->rx_count == SPI_DEPTH ? 8u : 0) | (spi->shifting || spi->tx_count ? 16u : 0);
}

static uint32_t data_read(const Access *at)
{
    Spi *spi = &at->m->spi;
    if (!spi->rx_count) return 0;
    uint32_t word = spi->rx[spi->rx_head];
    if (at->peek) return word;
    spi->rx_head = (spi->rx_head + 1) % SPI_DEPTH;
    spi->rx_count--;
    effect(at->core);
    return word;
}

uint32_t spi_read(const Access *at)
{
    static const uint8_t ids[8] = {0x22, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1}; /* PeriphID, PCellID */
    Spi *spi = &at->m->spi;
    spi_sync(at->m, at->now);
    if (spi->shifting) stable_until(at->core, spi->done);
    if (at->offset >= 0xfe0) return ids[(at->offset - 0xfe0) / 4];
    switch (at->offset) {
    case CR0: return spi->cr0;
    case CR1: return spi->cr1;
    case DR: return data_read(at);
    case SR: return status(spi);
    case CPSR: return spi->cpsr;
    case IMSC: return spi->imsc;
    case RIS: return raw_interrupts(spi);
    case MIS: return raw_interrupts(spi) & spi->imsc;
    default: return at->regs[at->offset / 4];
    }
}

static void data_write(Machine *m, uint64_t cycle, uint32_t word)
{
    Spi *spi = &m->spi;
    if (spi->tx_count == SPI_DEPTH) return;
    spi->tx[(spi->tx_head + spi->tx_count++) % SPI_DEPTH] = (uint16_t)(word & ((1u << bits_of(spi)) - 1u));
    if (!spi->shifting && runs(spi)) start(spi, cycle, 0);
}

static void control_write(Machine *m, uint64_t cycle, uint32_t value)
{
    Spi *spi = &m->spi;
    spi->cr1 = value & 15u;
    bool plain = (spi->cr0 & 0xf0u) == 0xc0u && bits_of(spi) == 8 && !(spi->cr1 & CR1_SLAVE);
    if (spi->cr1 & CR1_ENABLE && !plain && !spi->complained) {
        spi->complained = true;
        note(m, NOTE_SPI, 0, spi->cr0, spi->cr1);
    }
    if (!spi->shifting && spi->tx_count && runs(spi)) start(spi, cycle, 0);
}

void spi_write(const Access *at, uint32_t value)
{
    Spi *spi = &at->m->spi;
    spi_sync(at->m, at->now);
    switch (at->offset) {
    case CR0:
        spi->cr0 = value & 0xffffu;
        spi_rate(at->m);
        break;
    case CR1: control_write(at->m, at->now, value); break;
    case DR: data_write(at->m, at->now, value); break;
    case CPSR:
        spi->cpsr = value & 0xfeu;
        spi_rate(at->m);
        break;
    case IMSC: spi->imsc = value & 15u; break;
    case ICR:
        if (value & INT_OVERRUN) spi->overrun = false;
        break;
    default: at->regs[at->offset / 4] = value; break;
    }
}

void spi_reset(Machine *m) { m->spi = (Spi){0}; }
