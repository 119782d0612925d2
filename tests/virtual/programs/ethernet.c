/* A node on Ethernet through the firmware's own driver. The first byte on the UART is its number. Then each byte K says:
 * send the frame that has K * 4 bytes, to the peers in the low half of the next byte, though it names those in the high
 * half if there are any; or, if the next byte is 0, leave the network alone for K milliseconds. Frames that arrive are
 * counted and added up. */
#include "chip.h"
#include "network.h"
#include "port.h"

enum { OPENED, SENT, SEND_CYCLES, POLLS, RECEIVED, BYTES, SUM, RECEIVE_CYCLES, NOTHING_CYCLES, LAST_US };
enum { LONGEST = 1020 };

static uint32_t node, frame[LONGEST / 4], heard[LONGEST / 4];

static uint32_t since(uint32_t from)
{
    return (from - SYST_CVR) & 0xffffffu;
}

static void fill(uint32_t words, uint32_t peers)
{
    uint32_t value = words * 0x9e3779b9u + 1u;
    for (uint32_t i = 0; i < words; i++) {
        value ^= value << 13;
        value ^= value >> 17;
        value ^= value << 5;
        frame[i] = value;
    }
    frame[0] = 1u | 3u << 8 | node << 16; /* a frame's head, as a switch wants it */
    frame[1] = (peers >> 4 ? peers >> 4 : peers) | (words * 4u - 36u) << 16;
}

static void send(uint32_t words, uint32_t peers)
{
    fill(words, peers);
    const uint32_t begun = SYST_CVR;
    RESULT[POLLS] = 0;
    while (!hil_network_send(peers & 15u, (const uint8_t *)frame, words * 4u)) {
        RESULT[POLLS]++;
    }
    RESULT[SEND_CYCLES] = since(begun);
    RESULT[SENT]++;
}

static void receive(void)
{
    const uint32_t begun = SYST_CVR;
    const uint32_t bytes = hil_network_receive((uint8_t *)heard, sizeof heard);
    const uint32_t cycles = since(begun);
    if (bytes == 0u) {
        RESULT[NOTHING_CYCLES] = cycles;
        return;
    }
    RESULT[RECEIVE_CYCLES] = cycles;
    RESULT[LAST_US] = TIMER_RAW_LOW;
    RESULT[RECEIVED]++;
    RESULT[BYTES] += bytes;
    for (uint32_t i = 0; i < bytes / 4u; i++) {
        RESULT[SUM] = RESULT[SUM] * 31u + heard[i];
    }
}

void main(void)
{
    clocks();
    uart();
    SYST_RVR = 0xffffff;
    SYST_CVR = 0;
    SYST_CSR = 5;
    for (uint32_t i = 0; i <= LAST_US; i++) RESULT[i] = 0;
    node = get();
    RESULT[OPENED] = hil_network_open(node, 3) ? 1 : 2;
    for (;;) {
        if (hil_network_poll()) receive();
        if (!(UART_FR & 0x10)) {
            const uint32_t size = UART_DR & 0xffu, peers = get();
            const uint32_t begun = TIMER_RAW_LOW;
            if (peers) send(size, peers);
            else while (TIMER_RAW_LOW - begun < size * 1000u) { }
        }
    }
}
