/* A WIZnet W5500 on SPI0: GPIO 16 MISO, 17 SCSn, 18 SCK, 19 MOSI, 20 RSTn, 21 INTn, as on the W5500-EVB-Pico. Names of
 * registers and sections are those of its data sheet, version 1.1.0.
 *
 * There is what UDP on socket 0 needs: SPI frames of variable length, common and socket registers, both memories, the
 * commands OPEN, CLOSE, SEND_MAC and RECV, the interrupt pin. SEND, which would ask for the receiver's address by ARP
 * first, other sockets, other protocols and SPI frames of fixed length are refused with a note. Commands are obeyed at
 * once; a datagram begins on the line the moment it is sent. The PHY has linked when the chip comes out of reset.
 *
 * The network (ethernet.c) knows nodes, not addresses. So what leaves must be addressed to those that the frame in it
 * names, by the rules of docs/network.md, or it gets nowhere; what arrives has the address that its sender must have.
 */
#include <string.h>

#include "machine.h"

enum { MISO = 16, SELECT = 17, CLOCK = 18, MOSI = 19, RESET = 20, INTERRUPT = 21 };
enum { FUNCTION_SPI = 1, FUNCTION_SIO = 5 };
/* Common registers (4.1), and socket registers (4.2). */
enum { MR = 0x00, SIPR = 0x0f, IR = 0x15, SIR = 0x17, SIMR = 0x18, RTR = 0x19, RCR = 0x1b, PTIMER = 0x1c,
       PHYCFGR = 0x2e, VERSIONR = 0x39 };
enum { SN_MR = 0x00, SN_CR = 0x01, SN_IR = 0x02, SN_SR = 0x03, SN_PORT = 0x04, SN_DHAR = 0x06, SN_DIPR = 0x0c,
       SN_DPORT = 0x10, SN_TTL = 0x16, SN_RXBUF = 0x1e, SN_TXBUF = 0x1f, SN_TX_FSR = 0x20, SN_TX_RD = 0x22,
       SN_TX_WR = 0x24, SN_RX_RSR = 0x26, SN_RX_RD = 0x28, SN_RX_WR = 0x2a, SN_IMR = 0x2c, SN_FRAG = 0x2d };
enum { CR_OPEN = 0x01, CR_CLOSE = 0x10, CR_SEND_MAC = 0x21, CR_RECV = 0x40 };
enum { SENDOK = 0x10, RECV = 0x04, SOCK_UDP = 0x22, UDP = 2 };
enum { REFUSED_FRAME = 1, REFUSED_BLOCK, REFUSED_COMMAND, REFUSED_MODE, REFUSED_MEMORY, REFUSED_LENGTH, SHORT_RESET,
       WRONG_ADDRESS };
enum { PREFIX = 8 }; /* in front of each datagram in the RX memory: address, port, length (4.2, Sn_RX_RSR) */
enum { FRAME_SOURCE = 2, FRAME_PEERS = 4 }; /* in a frame of docs/network.md */


static void refuse(Machine *m, uint32_t why, uint32_t what) { note(m, NOTE_W5500, 0, why, what); }

static uint32_t half(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static void put_half(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t tx_size(const W5500 *w) { return (uint32_t)w->kib[0][1] << 10; }
static uint32_t rx_size(const W5500 *w) { return (uint32_t)w->kib[0][0] << 10; }
static uint32_t rx_held(const W5500 *w) { return (uint16_t)(w->rx_write - w->rx_read); }

static uint64_t cycles_of(const Machine *m, uint64_t microseconds)
{
    return m->sys.num / m->sys.den * microseconds / 1000000u;
}

/* ---- the chip's state ---------------------------------------------------------------------------------------- */

static void close_socket(W5500 *w)
{
    w->socket[SN_SR] = 0;
    w->sending = false;
}

static void chip_defaults(W5500 *w)
{
    memset(w->common, 0, sizeof w->common);
    memset(w->socket, 0, sizeof w->socket);
    memset(w->kib, 2, sizeof w->kib);
    put_half(w->common + RTR, 0x07d0);
    w->common[RCR] = 8;
    w->common[PTIMER] = 0x28;
    w->common[VERSIONR] = 4;
    memset(w->socket + SN_DHAR, 0xff, 6);
    w->socket[SN_TTL] = 0x80;
    w->socket[SN_IMR] = 0xff;
    w->socket[SN_FRAG] = 0x40;
    w->tx_read = w->rx_read = w->rx_write = 0;
    w->sending = false;
}

void w5500_power(Machine *m)
{
    memset(&m->w5500, 0, sizeof m->w5500);
    chip_defaults(&m->w5500);
}

static uint32_t interrupts(const W5500 *w) { return w->socket[SN_IR] & w->socket[SN_IMR] ? 1u : 0; }

static void store(W5500 *w, const uint8_t *from, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) w->rx[w->rx_write++ & (rx_size(w) - 1u)] = from[i];
}

/* A datagram with this frame in it is whole. */
void w5500_arrived(Machine *m, const Frame *frame)
{
    W5500 *w = &m->w5500;
    uint8_t prefix[PREFIX];
    if (w->held || w->socket[SN_SR] != SOCK_UDP || half(w->socket + SN_PORT) != ETHERNET_PORT) {
        m->network.lost += frame->bytes;
        return;
    }
    if (rx_held(w) + PREFIX + frame->bytes > rx_size(w)) {
        m->network.lost += frame->bytes;
        note(m, NOTE_W5500_FULL, 0, frame->bytes, 0);
        return;
    }
    memcpy(prefix, w->common + SIPR, 3);
    prefix[3] = (uint8_t)(ETHERNET_HOST + frame->data[FRAME_SOURCE]);
    put_half(prefix + 4, ETHERNET_PORT);
    put_half(prefix + 6, frame->bytes);
    store(w, prefix, PREFIX);
    store(w, frame->data, frame->bytes);
    w->socket[SN_IR] |= RECV;
}

/* The datagram that was on its way out has left. */
void w5500_left(Machine *m)
{
    W5500 *w = &m->w5500;
    if (!w->sending) return; /* it was reset meanwhile */
    w->sending = false;
    w->tx_read = w->tx_sent;
    w->socket[SN_IR] |= SENDOK;
}

/* ---- commands and registers ---------------------------------------------------------------------------------- */

static void open_socket(Machine *m)
{
    W5500 *w = &m->w5500;
    if (w->socket[SN_MR] != UDP) {
        refuse(m, REFUSED_MODE, w->socket[SN_MR]);
        return;
    }
    w->tx_read = w->rx_read = w->rx_write = 0;
    put_half(w->socket + SN_TX_WR, 0);
    put_half(w->socket + SN_RX_RD, 0);
    w->socket[SN_SR] = SOCK_UDP;
}

/* Whether a datagram goes to the nodes that its frame names: to the one, or to everybody. */
static bool well_addressed(const W5500 *w, const uint8_t *frame)
{
    uint32_t peers = frame[FRAME_PEERS] | (uint32_t)frame[FRAME_PEERS + 1] << 8, node = 0;
    uint8_t mac[6] = {2, 'H', 'I', 'L', 0, 0}, host = 255;
    while (node < 15 && !(peers >> node & 1u)) node++;
    if (peers == 1u << node) mac[5] = host = (uint8_t)(ETHERNET_HOST + node);
    else memset(mac, 0xff, sizeof mac);
    return memcmp(w->socket + SN_DHAR, mac, 6) == 0 && memcmp(w->socket + SN_DIPR, w->common + SIPR, 3) == 0 &&
           w->socket[SN_DIPR + 3] == host && half(w->socket + SN_DPORT) == ETHERNET_PORT &&
           half(w->socket + SN_PORT) == ETHERNET_PORT;
}

static void send(Machine *m, uint64_t cycle)
{
    W5500 *w = &m->w5500;
    uint8_t frame[FRAME_BYTES];
    uint16_t end = (uint16_t)half(w->socket + SN_TX_WR), bytes = (uint16_t)(end - w->tx_read);
    bool fits = bytes >= FRAME_PEERS + 2 && bytes <= FRAME_BYTES && bytes <= tx_size(w);
    if (w->socket[SN_SR] != SOCK_UDP || w->sending || !fits) {
        refuse(m, REFUSED_LENGTH, bytes);
        return;
    }
    for (uint32_t i = 0; i < bytes; i++) frame[i] = w->tx[(uint16_t)(w->tx_read + i) & (tx_size(w) - 1u)];
    w->sending = true;
    w->tx_sent = end;
    bool arrives = well_addressed(w, frame);
    if (!arrives) refuse(m, WRONG_ADDRESS, half(w->socket + SN_DIPR + 2));
    ethernet_send(m, cycle, frame, bytes, arrives);
}

static void command(Machine *m, uint64_t cycle, uint8_t code)
{
    W5500 *w = &m->w5500;
    switch (code) {
    case CR_OPEN: open_socket(m); break;
    case CR_CLOSE: close_socket(w); break;
    case CR_SEND_MAC: send(m, cycle); break;
    case CR_RECV: w->rx_read = (uint16_t)half(w->socket + SN_RX_RD); break;
    default: refuse(m, REFUSED_COMMAND, code); break;
    }
}

static uint8_t byte_of(uint32_t value, uint32_t which) { return (uint8_t)(which & 1u ? value : value >> 8); }

static uint8_t socket_read(const W5500 *w, uint32_t at)
{
    switch (at & ~1u) {
    case SN_RXBUF: return w->kib[0][at & 1u];
    case SN_TX_FSR: return byte_of(tx_size(w) - (uint16_t)(half(w->socket + SN_TX_WR) - w->tx_read), at);
    case SN_TX_RD: return byte_of(w->tx_read, at);
    case SN_RX_RSR: return byte_of(rx_held(w), at);
    case SN_RX_WR: return byte_of(w->rx_write, at);
    default: return at < sizeof w->socket ? w->socket[at] : 0;
    }
}

static void set_size(Machine *m, uint32_t socket, uint32_t which, uint8_t kib)
{
    W5500 *w = &m->w5500;
    bool legal = kib <= 16 && (kib & (kib - 1u)) == 0;
    if (legal) w->kib[socket][which] = kib;
    else refuse(m, REFUSED_MEMORY, kib);
}

/* No socket may have memory that another has: together 16 KiB each way (4.2, Sn_RXBUF_SIZE). */
static void check_sizes(Machine *m, uint32_t which)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < W5500_SOCKETS; i++) sum += m->w5500.kib[i][which];
    if (sum > 16) refuse(m, REFUSED_MEMORY, sum);
}

static void socket_write(Machine *m, uint64_t cycle, uint32_t at, uint8_t value)
{
    W5500 *w = &m->w5500;
    switch (at) {
    case SN_CR: command(m, cycle, value); break;
    case SN_IR: w->socket[SN_IR] &= (uint8_t)~value; break;
    case SN_RXBUF: case SN_TXBUF: set_size(m, 0, at - SN_RXBUF, value); break;
    case SN_SR: case SN_TX_FSR: case SN_TX_FSR + 1: case SN_TX_RD: case SN_TX_RD + 1: /* read only */
    case SN_RX_RSR: case SN_RX_RSR + 1: case SN_RX_WR: case SN_RX_WR + 1: break;
    default:
        if (at < sizeof w->socket) w->socket[at] = value;
        break;
    }
    if (at == SN_CR && value == CR_OPEN) check_sizes(m, 0), check_sizes(m, 1);
}

static uint8_t common_read(const W5500 *w, uint32_t at)
{
    switch (at) {
    case SIR: return (uint8_t)interrupts(w);
    case PHYCFGR: return 0xbf; /* linked, 100 Mbit/s, full duplex */
    default: return at < sizeof w->common ? w->common[at] : 0;
    }
}

static void common_write(W5500 *w, uint32_t at, uint8_t value)
{
    if (at == MR && value & 0x80u) chip_defaults(w);
    else if (at == IR) w->common[IR] &= (uint8_t)~value;
    else if (at != SIR && at != PHYCFGR && at != VERSIONR && at < sizeof w->common) w->common[at] = value;
}

/* ---- SPI frames (2.2) ---------------------------------------------------------------------------------------- */

static uint8_t data_read(Machine *m, uint32_t block, uint32_t at)
{
    W5500 *w = &m->w5500;
    if (block == 0) return common_read(w, at);
    if (block == 1) return socket_read(w, at);
    if (block == 2 && tx_size(w)) return w->tx[at & (tx_size(w) - 1u)];
    if (block == 3 && rx_size(w)) return w->rx[at & (rx_size(w) - 1u)];
    refuse(m, REFUSED_BLOCK, block);
    return 0;
}

static void data_write(Machine *m, uint64_t cycle, uint32_t block, uint32_t at, uint8_t value)
{
    W5500 *w = &m->w5500;
    bool sizes = block < 32 && block % 4 == 1 && (at == SN_RXBUF || at == SN_TXBUF);
    if (block == 0) common_write(w, at, value);
    else if (block == 1) socket_write(m, cycle, at, value);
    else if (block == 2 && tx_size(w)) w->tx[at & (tx_size(w) - 1u)] = value;
    else if (sizes) set_size(m, block / 4, at - SN_RXBUF, value);
    else refuse(m, REFUSED_BLOCK, block);
}

static bool wired(Machine *m, uint32_t pin, uint32_t function)
{
    uint32_t control = bus_bank(m, BLOCK_PINS)[2 * pin + 1], pad = bus_bank(m, BLOCK_PADS)[pin + 1];
    return (control & 31u) == function && !(pad & 0x180u); /* OD: output off; RP2350's ISO: cut off */
}

static bool takes_input(Machine *m, uint32_t pin)
{
    uint32_t pad = bus_bank(m, BLOCK_PADS)[pin + 1];
    return (pad & 0x140u) == 0x40u; /* IE, not ISO */
}

static bool pulled_low(Machine *m, uint32_t pin)
{
    return wired(m, pin, FUNCTION_SIO) && m->gpio_oe >> pin & 1u && !(m->gpio_out >> pin & 1u);
}

/* SIO's pins were written: select, and reset of at least 500 us, with 1 ms until the chip answers (5.5.1). */
void w5500_pins(Machine *m, uint64_t cycle)
{
    W5500 *w = &m->w5500;
    if (m->network.port != &port_ethernet) return;
    bool selected = pulled_low(m, SELECT), held = pulled_low(m, RESET);
    if (selected && !w->selected) w->taken = 0;
    if (held && !w->held) w->held_since = cycle;
    if (!held && w->held) {
        if (cycle - w->held_since < cycles_of(m, 500)) refuse(m, SHORT_RESET, (uint32_t)(cycle - w->held_since));
        ethernet_sync(m, cycle);
        chip_defaults(w);
        w->ready = cycle + cycles_of(m, 1000);
    }
    w->selected = selected;
    w->held = held;
}

/* A byte has been shifted both ways by `cycle`: what came back. */
uint8_t w5500_byte(Machine *m, uint64_t cycle, uint8_t byte)
{
    W5500 *w = &m->w5500;
    bool out = wired(m, CLOCK, FUNCTION_SPI) && wired(m, MOSI, FUNCTION_SPI);
    bool in = wired(m, MISO, FUNCTION_SPI) && takes_input(m, MISO);
    if (m->network.port != &port_ethernet || !w->selected || w->held || cycle < w->ready || !out) return 0;
    ethernet_sync(m, cycle);
    uint32_t which = w->taken < 3 ? w->taken++ : 3;
    if (which == 0) w->address = (uint32_t)byte << 8;
    if (which == 1) w->address |= byte;
    if (which == 2) {
        w->control = byte;
        if (byte & 3u) refuse(m, REFUSED_FRAME, byte);
    }
    if (which < 3) return 0;
    uint32_t block = w->control >> 3, at = w->address;
    w->address = (at + 1u) & 0xffffu;
    if (!(w->control & 4u)) {
        uint8_t reply = data_read(m, block, at);
        return in ? reply : 0;
    }
    data_write(m, cycle, block, at, byte);
    return 0;
}

/* What SIO reads on the interrupt pin, which is low when the chip wants something; without a chip, what pulls the pin. */
uint32_t w5500_interrupt(const Access *at)
{
    Machine *m = at->m;
    bool pulled_up = bus_bank(m, BLOCK_PADS)[INTERRUPT + 1] & 8u, low = !pulled_up;
    if (!takes_input(m, INTERRUPT)) return 0;
    if (m->network.port == &port_ethernet) {
        network_sync(m, at->now);
        stable_until(at->core, network_next(m));
        if (m->spi.shifting) stable_until(at->core, m->spi.done);
        low = interrupts(&m->w5500) & m->w5500.common[SIMR];
    }
    return low ? 0 : 1u << INTERRUPT;
}
