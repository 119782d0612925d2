/* The network over Ethernet: a WIZnet W5500 on SPI0, whose socket 0 carries UDP. Names of registers are those of its data
 * sheet, version 1.1.0. Node n is 192.168.77.(10 + n), port 5077, and its Ethernet address follows from n too, so that
 * nobody needs ARP. What is for several nodes is broadcast: those it does not name leave it in the chip. */
#include "w5500.h"

#include "network.h"
#include "port.h"
#include "registers.h"

enum { PORT = 5077, FIRST_HOST = 10 };

/* Control bytes: which block of registers or memory, and whether to write. */
enum { COMMON = 0 << 3, SOCKET = 1 << 3, TX = 2 << 3, RX = 3 << 3, WRITE = 1 << 2, SOCKETS = 8, NEXT_SOCKET = 4 << 3 };

/* Common registers. */
enum { GAR = 0x01, SIMR = 0x18, PHYCFGR = 0x2e, VERSIONR = 0x39, VERSION = 4, PHY_LINKED = 1 };

/* A socket's registers. */
enum {
    MR = 0x00,
    CR = 0x01,
    IR = 0x02,
    SR = 0x03,
    SOURCE_PORT = 0x04,
    DHAR = 0x06, /* then DIPR and DPORT: where SEND_MAC sends to */
    BUFFERS = 0x1e,
    TX_WR = 0x24,
    RX_RSR = 0x26,
    RX_RD = 0x28,
    IMR = 0x2c,
    UDP = 2,
    OPEN = 0x01,
    CLOSE = 0x10,
    SEND_MAC = 0x21,
    RECV = 0x40,
    HAS_SENT = 0x10,
    HAS_RECEIVED = 0x04,
    SOCK_UDP = 0x22
};

/* In front of a datagram in RX: address, port, length. Behind it, frame.h's version, kind, source, zero, peers. */
enum { PREFIX = 8, HEAD = 8, PEERS_AT = 4 };

enum { RESET_US = 600, READY_US = 2000, LINK_US = 3000000, SLOWEST_DIVIDER = 16, TEST_BYTES = 64 };

static struct {
    uint32_t node;
    uint32_t aimed;   /* the peers that the address registers stand for */
    uint16_t tx_next; /* where the next frame begins in TX; the chip counts modulo 2^16 */
    uint16_t rx_next; /* where the next datagram begins in RX */
    uint16_t held;    /* bytes from there on that are known to be there */
    bool staged;      /* a frame lies in TX and is not sent yet */
    bool sending;     /* the chip has not said yet that the last one left */
} chip;

/* ---- SPI ----------------------------------------------------------------------------------------------------- */

static void put(uint8_t byte)
{
    while ((*reg(SPI0_SR) & SPI_SR_TX_ROOM) == 0u) {
    }
    *reg(SPI0_DR) = byte;
}

static uint8_t get(void)
{
    while ((*reg(SPI0_SR) & SPI_SR_RX_HELD) == 0u) {
    }
    return (uint8_t)*reg(SPI0_DR);
}

static void begin(uint32_t control, uint32_t address)
{
    *reg(SIO_GPIO_CLEAR) = 1u << W5500_SELECT;
    *reg(SPI0_DR) = address >> 8 & 0xffu; /* the FIFOs are empty */
    *reg(SPI0_DR) = address & 0xffu;
    *reg(SPI0_DR) = control;
}

/* What came back while bytes were written is of no use: its FIFO may have run over. */
static void write_block(uint32_t control, uint32_t address, const uint8_t *from, uint32_t bytes)
{
    begin(control | WRITE, address);
    const uint8_t *const end = from + bytes;
    while ((uint32_t)(end - from) >= 4u) {
        while ((*reg(SPI0_RIS) & SPI_RIS_TX_HALF) == 0u) {
        }
        *reg(SPI0_DR) = from[0];
        *reg(SPI0_DR) = from[1];
        *reg(SPI0_DR) = from[2];
        *reg(SPI0_DR) = from[3];
        from += 4;
    }
    while (from < end) {
        put(*from++);
    }
    while ((*reg(SPI0_SR) & SPI_SR_BUSY) != 0u) {
    }
    while ((*reg(SPI0_SR) & SPI_SR_RX_HELD) != 0u) {
        (void)*reg(SPI0_DR);
    }
    *reg(SIO_GPIO_SET) = 1u << W5500_SELECT;
}

/* A byte is shifted in for each that is shifted out: at most 8 at a time, as many as the FIFO of those that come holds. */
static void read_block(uint32_t control, uint32_t address, uint8_t *to, uint32_t bytes)
{
    begin(control, address);
    uint32_t asked = bytes < 5u ? bytes : 5u;
    for (uint32_t i = 0; i < asked; i++) {
        *reg(SPI0_DR) = 0;
    }
    for (uint32_t i = 0; i < 3u; i++) {
        (void)get(); /* in answer to address and control */
        if (asked < bytes) {
            *reg(SPI0_DR) = 0;
            asked++;
        }
    }
    uint8_t *const end = to + bytes;
    for (uint32_t ask = bytes - asked; ask >= 4u; ask -= 4u) {
        while ((*reg(SPI0_RIS) & SPI_RIS_RX_HALF) == 0u) {
        }
        to[0] = (uint8_t)*reg(SPI0_DR);
        *reg(SPI0_DR) = 0;
        to[1] = (uint8_t)*reg(SPI0_DR);
        *reg(SPI0_DR) = 0;
        to[2] = (uint8_t)*reg(SPI0_DR);
        *reg(SPI0_DR) = 0;
        to[3] = (uint8_t)*reg(SPI0_DR);
        *reg(SPI0_DR) = 0;
        to += 4;
        asked += 4u;
    }
    while (to < end) {
        *to++ = get();
        if (asked < bytes) {
            *reg(SPI0_DR) = 0;
            asked++;
        }
    }
    *reg(SIO_GPIO_SET) = 1u << W5500_SELECT;
}

/* ---- registers ----------------------------------------------------------------------------------------------- */

static uint8_t read8(uint32_t block, uint32_t at)
{
    uint8_t value = 0;
    read_block(block, at, &value, 1);
    return value;
}

static void write8(uint32_t block, uint32_t at, uint8_t value)
{
    write_block(block, at, &value, 1);
}

static uint16_t read16(uint32_t block, uint32_t at)
{
    uint8_t bytes[2];
    read_block(block, at, bytes, sizeof bytes);
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void write16(uint32_t block, uint32_t at, uint16_t value)
{
    const uint8_t bytes[] = {(uint8_t)(value >> 8), (uint8_t)value};
    write_block(block, at, bytes, sizeof bytes);
}

/* The chip clears CR when it has taken a command. A chip that does not is broken: what comes next shows that. */
static void command(uint8_t code)
{
    for (uint32_t tries = 0; tries < 100u && read8(SOCKET, CR) != 0u; tries++) {
    }
    write8(SOCKET, CR, code);
}

/* A count that the chip may be changing: read until two are the same. */
static uint16_t received(void)
{
    uint16_t before = read16(SOCKET, RX_RSR);
    for (uint32_t tries = 0; tries < 100u; tries++) {
        const uint16_t now = read16(SOCKET, RX_RSR);
        if (now == before) {
            break;
        }
        before = now;
    }
    return before;
}

/* ---- the five functions -------------------------------------------------------------------------------------- */

static void pause_us(uint32_t microseconds)
{
    const uint64_t begun = hil_port_us();
    while (hil_port_us() - begun <= microseconds) {
    }
}

/* True if bytes come back as they were written, at clk_peri / divider. */
static bool works_at(uint32_t divider)
{
    *reg(SPI0_CR1) = 0;
    *reg(SPI0_CPSR) = divider;
    *reg(SPI0_CR0) = SPI_MODE_3_OF_8_BITS;
    *reg(SPI0_CR1) = SPI_ENABLE;
    uint8_t out[TEST_BYTES];
    uint8_t in[TEST_BYTES];
    for (uint32_t i = 0; i < TEST_BYTES; i++) {
        out[i] = (uint8_t)(i * 0x35u + divider);
    }
    write_block(TX, 0, out, TEST_BYTES);
    read_block(TX, 0, in, TEST_BYTES);
    bool same = read8(COMMON, VERSIONR) == VERSION;
    for (uint32_t i = 0; i < TEST_BYTES; i++) {
        same = same && in[i] == out[i];
    }
    return same;
}

/* The chip takes up to 80 MHz, 33.3 MHz whatever the layout of the board: the fastest rate that works is taken. */
static bool find_rate(void)
{
    uint32_t divider = 2;
    while (!works_at(divider)) {
        divider *= 2u;
        if (divider > SLOWEST_DIVIDER) {
            return false;
        }
    }
    return true;
}

static void write_mac(uint8_t *to, uint32_t node)
{
    const uint8_t mac[] = {0x02, 'H', 'I', 'L', 0, (uint8_t)(FIRST_HOST + node)}; /* administered locally */
    for (uint32_t i = 0; i < sizeof mac; i++) {
        to[i] = mac[i];
    }
}

static void set_addresses(uint32_t node)
{
    uint8_t all[] = {192, 168, 77, 1, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 192, 168, 77, (uint8_t)(FIRST_HOST + node)};
    write_mac(all + 8, node);
    write_block(COMMON, GAR, all, sizeof all);
}

static void forget(void)
{
    chip.held = 0;
    chip.staged = false;
    chip.sending = false;
    chip.aimed = 0;
}

static bool open_socket(void)
{
    for (uint32_t i = 0; i < SOCKETS; i++) {
        const uint8_t kib = i == 0u ? 16u : 0u;
        const uint8_t sizes[] = {kib, kib}; /* RX, TX */
        write_block(SOCKET + i * NEXT_SOCKET, BUFFERS, sizes, sizeof sizes);
    }
    write8(SOCKET, MR, UDP);
    write16(SOCKET, SOURCE_PORT, PORT);
    write8(SOCKET, IMR, HAS_RECEIVED);
    write8(COMMON, SIMR, 1);
    command(OPEN);
    chip.tx_next = read16(SOCKET, TX_WR);
    chip.rx_next = read16(SOCKET, RX_RD);
    forget();
    return read8(SOCKET, SR) == SOCK_UDP;
}

bool hil_network_open(uint32_t node, uint32_t nodes)
{
    (void)nodes;
    chip.node = node;
    forget();
    w5500_connect();
    *reg(SIO_GPIO_CLEAR) = 1u << W5500_RESET;
    pause_us(RESET_US);
    *reg(SIO_GPIO_SET) = 1u << W5500_RESET;
    pause_us(READY_US);
    if (!find_rate()) {
        return false;
    }
    set_addresses(node);
    /* Two ends of a cable agree within seconds. One that is not there may be plugged in later. */
    const uint64_t begun = hil_port_us();
    while ((read8(COMMON, PHYCFGR) & PHY_LINKED) == 0u && hil_port_us() - begun < LINK_US) {
    }
    return open_socket();
}

/* Sets the receiver of what is sent next: a node, or everybody. */
static void aim(uint32_t peers)
{
    uint8_t to[12] = {255, 255, 255, 255, 255, 255, 192, 168, 77, 255, PORT >> 8, PORT & 255};
    if ((peers & (peers - 1u)) == 0u) {
        uint32_t node = 0;
        while (node < 31u && (peers >> node & 1u) == 0u) {
            node++;
        }
        write_mac(to, node);
        to[9] = (uint8_t)(FIRST_HOST + node);
    }
    write_block(SOCKET, DHAR, to, sizeof to);
    chip.aimed = peers;
}

bool hil_network_send(uint32_t peers, const uint8_t *frame, uint32_t bytes)
{
    if (!chip.staged) {
        write_block(TX, chip.tx_next, frame, bytes);
        chip.tx_next = (uint16_t)(chip.tx_next + bytes);
        chip.staged = true;
    }
    if (chip.sending) {
        if ((read8(SOCKET, IR) & HAS_SENT) == 0u) {
            return false;
        }
        write8(SOCKET, IR, HAS_SENT);
    }
    if (chip.aimed != peers) {
        aim(peers);
    }
    write16(SOCKET, TX_WR, chip.tx_next);
    command(SEND_MAC);
    chip.staged = false;
    chip.sending = true;
    return true;
}

uint32_t hil_network_receive(uint8_t *frame, uint32_t room)
{
    if (chip.held == 0u) {
        if ((*reg(SIO_GPIO_IN) >> W5500_INTERRUPT & 1u) != 0u) {
            return 0;
        }
        write8(SOCKET, IR, HAS_RECEIVED); /* before looking: what comes later sets it again */
        chip.held = received();
        if (chip.held < PREFIX) {
            chip.held = 0;
            return 0;
        }
    }
    uint8_t head[PREFIX + HEAD];
    read_block(RX, chip.rx_next, head, sizeof head);
    const uint32_t bytes = (uint32_t)head[6] << 8 | head[7];
    if (bytes > (uint32_t)chip.held - PREFIX) {
        command(CLOSE); /* where the next one begins is lost */
        (void)open_socket();
        return 0;
    }
    const uint8_t *const start = head + PREFIX;
    const uint32_t peers = (uint32_t)start[PEERS_AT] | (uint32_t)start[PEERS_AT + 1] << 8;
    const bool takes = bytes >= HEAD && bytes <= room && (peers >> chip.node & 1u) != 0u;
    if (takes) {
        for (uint32_t i = 0; i < HEAD; i++) {
            frame[i] = start[i];
        }
        read_block(RX, (uint16_t)(chip.rx_next + PREFIX + HEAD), frame + HEAD, bytes - HEAD);
    }
    chip.rx_next = (uint16_t)(chip.rx_next + PREFIX + bytes);
    chip.held = (uint16_t)(chip.held - PREFIX - bytes);
    write16(SOCKET, RX_RD, chip.rx_next);
    command(RECV);
    return takes ? bytes : 0u;
}

bool hil_network_poll(void)
{
    return chip.staged || chip.held != 0u || (*reg(SIO_GPIO_IN) >> W5500_INTERRUPT & 1u) == 0u;
}

void hil_network_close(void)
{
    command(CLOSE);
    *reg(SIO_GPIO_CLEAR) = 1u << W5500_RESET;
}
