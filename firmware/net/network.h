/* What a board's network port must provide: five functions that carry whole frames and never wait.
 *
 * A frame is any bytes, at most HIL_NET_FRAME; frame.h says what they mean, and the port need not know. It may lose,
 * damage, double, reorder or delay frames. On a UART a frame is stuffed between zeros (stream.h); on Ethernet it is one
 * datagram. The compiler is given HIL_NET_BAUD, the bits a second of the line, and, where a port cannot stop a sender
 * whose bytes it has no room for, HIL_NET_ROOM: bytes that it surely holds until they are asked for. */
#ifndef HIL_NETWORK_H
#define HIL_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

/* Starts the port, as node `node` of `nodes`. False if the hardware does not answer. */
bool hil_network_open(uint32_t node, uint32_t nodes);

/* Starts, or goes on with, sending a frame to the nodes of the bit mask `peers`: moves what can be moved now. True once
 * the hardware has all of it and needs no more help; until then it is called again with the same frame, which nobody
 * changes meanwhile. There is one frame at a time. */
bool hil_network_send(uint32_t peers, const uint8_t *frame, uint32_t bytes);

/* Starts, or goes on with, receiving a frame: moves what has arrived. The bytes of the frame that is whole in `frame`
 * now, or 0: then it is called again with the same `frame` (aligned to words) and `room`. What does not fit is dropped. */
uint32_t hil_network_receive(uint8_t *frame, uint32_t room);

/* True if send or receive would find something to do: a frame is half sent, or something has arrived. Only looks, at a
 * flag or a pin: it stores nothing, changes no device, and calls nobody, so that a loop that waits for it is at rest. */
bool hil_network_poll(void);

/* Stops the port. What is half sent is lost. */
void hil_network_close(void);

#endif
