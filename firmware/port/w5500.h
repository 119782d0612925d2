/* What a port's net_ethernet.c and the driver in w5500.c want of each other: a WIZnet W5500 on SPI0, on the same pins as
 * on the W5500-EVB-Pico. registers.h of the port has SPI0's and SIO's addresses. */
#ifndef HIL_W5500_H
#define HIL_W5500_H

enum {
    W5500_MISO = 16,
    W5500_SELECT = 17, /* low: selected */
    W5500_CLOCK = 18,
    W5500_MOSI = 19,
    W5500_RESET = 20,    /* low: held in reset */
    W5500_INTERRUPT = 21 /* low: something has arrived */
};

/* Provided by the port: takes SPI0 out of reset and gives it its pins; select and reset are outputs of SIO, high; the
 * interrupt pin is an input, pulled up. */
void w5500_connect(void);

#endif
