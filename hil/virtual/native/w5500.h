/* The Ethernet chip that may hang on SPI0 (w5500.c). */
#ifndef HIL_W5500_H
#define HIL_W5500_H

#include <stdbool.h>
#include <stdint.h>

enum { W5500_MEMORY = 16384, W5500_SOCKETS = 8 };
enum { ETHERNET_HOST = 10, ETHERNET_PORT = 5077 }; /* of node 0; of all (docs/network.md) */

/* WIZnet W5500 (data sheet 1.1.0) with socket 0 in UDP mode. Its pointers into its memory run modulo 2^16. */
typedef struct {
    bool selected, held; /* its select and reset pins are low */
    uint64_t held_since, ready;
    uint32_t taken, address, control; /* the SPI frame: bytes so far, and what they said */
    uint8_t common[0x40], socket[0x30];
    uint8_t kib[W5500_SOCKETS][2]; /* of RX and TX memory */
    uint16_t tx_read, tx_sent, rx_read, rx_write;
    bool sending; /* a datagram is on its way out, up to tx_sent */
    uint8_t tx[W5500_MEMORY], rx[W5500_MEMORY];
} W5500;

/* What is on the line (ethernet.c): when it will be whole, in the world's time and in cycles; NEVER: nothing is. */
typedef struct { uint64_t out_ps, out_end, in_ps, in_end; } Cable;

#endif
