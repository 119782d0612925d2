/* Sends each frame back to node 0, as its own. */
#include "net.h"

void main(void)
{
    static uint8_t frame[300];
    network_up(FLOW, ALL_PINS);
    for (uint32_t number = 0;; number++) {
        uint32_t bytes = net_receive(frame, sizeof frame);
        RESULT[0] = number + 1;
        RESULT[1] = bytes;
        RESULT[2] = frame[HEADER];
        net_send(1, 1, frame[12], frame[6]);
    }
}
