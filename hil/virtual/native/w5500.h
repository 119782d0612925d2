/* The Ethernet chip that may hang on SPI0 (w5500.c). */
#ifndef HIL_W5500_H
#define HIL_W5500_H

#include <stdbool.h>
#include <stdint.h>

enum { W5500_MEMORY = 16384, W5500_SOCKETS = 8 };

/* WIZnet W5500 (data sheet 1.1.0) with socket 0 in UDP mode. Its pointers into its memory run modulo 2^16. */
typedef struct {
    bool selected, held; /* its select and reset pins are low */
    uint64_t held_since, ready;
    uint32_t taken, address, control; /* the SPI frame: bytes so far, and what they said */
    uint8_t common[0x40], socket[0x30];
    uint8_t kib[W5500_SOCKETS][2]; /* of RX and TX memory */
    uint16_t tx_read, tx_sent, rx_read, rx_write;
    bool sending;
    uint64_t send_ps, send_end;      /* when what it sends has left: the world's time, and the cycle */
    uint64_t in_ps, in_end, free_ps; /* the same of what comes in; free_ps: when the line to it is free */
    uint8_t tx[W5500_MEMORY], rx[W5500_MEMORY];
} W5500;

#endif
