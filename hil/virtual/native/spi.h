/* SPI0 as a machine has it. */
#ifndef HIL_SPI_H
#define HIL_SPI_H

#include <stdbool.h>
#include <stdint.h>

enum { SPI_DEPTH = 8 };

/* PL022 (4.4). `rem` is the fraction of a cycle, in units of 1 / word_den. */
typedef struct {
    uint16_t tx[SPI_DEPTH], rx[SPI_DEPTH], shift;
    uint32_t tx_head, tx_count, rx_head, rx_count;
    uint32_t cr0, cr1, cpsr, imsc;
    bool shifting, overrun, complained;
    uint64_t word_num, word_den; /* cycles in a word; word_den 0: no rate */
    uint64_t done, rem;          /* when the word that is shifted is over */
} Spi;

#endif
