/* For each byte from the host: sends a frame of as many bytes to node 1, waits for the one that comes back, and writes
 * down what it was and when. */
#include "net.h"

void main(void)
{
    static uint8_t frame[300];
    clocks();
    uart();
    network(FLOW, 0xf0);
    SYST_RVR = 0xffffff;
    SYST_CVR = 0;
    SYST_CSR = 5;
    for (uint32_t number = 1;; number++) {
        uint32_t bytes = get();
        uint32_t before = SYST_CVR;
        net_send(0, 2, number, bytes);
        uint32_t sent = SYST_CVR;
        RESULT[3] = net_receive(frame, sizeof frame);
        uint32_t back = SYST_CVR;
        RESULT[0] = number;
        RESULT[1] = (before - sent) & 0xffffff;
        RESULT[2] = (sent - back) & 0xffffff;
        RESULT[4] = frame[12];
        RESULT[5] = frame[2];
        put(bytes + 1);
    }
}
