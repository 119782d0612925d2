/* Sends a frame to node 1, waits for the one that comes back, and writes down what it was and how long both took: for
 * each byte from the host one of as many bytes, or, told by the compiler, ROUNDS of its own. */
#include "net.h"

#ifndef ROUNDS
#define ROUNDS 0
#endif

static uint8_t frame[300];

static void round_trip(uint32_t number, uint32_t bytes)
{
    uint32_t before = SYST_CVR;
    net_send(0, 2, number, bytes);
    uint32_t sent = SYST_CVR;
    RESULT[3] = net_receive(frame, sizeof frame);
    RESULT[2] = (sent - SYST_CVR) & 0xffffff;
    RESULT[1] = (before - sent) & 0xffffff;
    RESULT[4] = frame[12];
    RESULT[5] = frame[2];
    RESULT[0] = number;
}

void main(void)
{
    network_up(FLOW, ALL_PINS);
    uart();
    count_cycles();
    for (uint32_t number = 1; number <= ROUNDS; number++) {
        round_trip(number, number * 37 % 200);
        RESULT[8 + 2 * number] = RESULT[1];
        RESULT[9 + 2 * number] = RESULT[2];
    }
    for (uint32_t number = 1;; number++) {
        uint32_t bytes = get();
        round_trip(number, bytes);
        put(bytes + 1);
    }
}
