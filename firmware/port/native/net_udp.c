/* The network: datagrams on the loopback interface, to and from a switch whose port the environment names,
 * HIL_NETWORK=127.0.0.1:PORT. The first datagram says who this is: one byte, the node's number. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "native.h"
#include "network.h"

static const char address[] = "127.0.0.1:";

/* The port in HIL_NETWORK, or 0. */
static uint32_t switch_port(void)
{
    const char *text = getenv("HIL_NETWORK");
    if (text == NULL || strncmp(text, address, sizeof address - 1u) != 0) {
        return 0;
    }
    char *end = NULL;
    const unsigned long port = strtoul(text + sizeof address - 1u, &end, 10);
    return *end == '\0' && port <= UINT16_MAX ? (uint32_t)port : 0u;
}

bool hil_network_open(uint32_t node, uint32_t nodes)
{
    (void)nodes;
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)switch_port()), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    native_network = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const uint8_t name = (uint8_t)node;
    if (native_network >= 0 && to.sin_port != 0u &&
        connect(native_network, (const struct sockaddr *)&to, sizeof to) == 0 &&
        send(native_network, &name, 1, MSG_NOSIGNAL) == 1) {
        return true;
    }
    hil_network_close();
    return false;
}

bool hil_network_send(uint32_t peers, const uint8_t *frame, uint32_t bytes)
{
    (void)peers; /* the switch reads the frame's own mask */
    /* What goes wrong otherwise loses the frame: the exchange notices. */
    return send(native_network, frame, bytes, MSG_NOSIGNAL) >= 0 || (errno != EAGAIN && errno != ENOBUFS);
}

uint32_t hil_network_receive(uint8_t *frame, uint32_t room)
{
    const ssize_t bytes = recv(native_network, frame, room, MSG_TRUNC);
    return bytes > 0 && bytes <= (ssize_t)room ? (uint32_t)bytes : 0u;
}

bool hil_network_poll(void)
{
    struct pollfd wanted = {.fd = native_network, .events = POLLIN};
    return poll(&wanted, 1, 0) > 0;
}

void hil_network_close(void)
{
    if (native_network >= 0) {
        close(native_network);
    }
    native_network = -1;
}
