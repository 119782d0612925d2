/* UART and wire: one client at a time on a loopback TCP port. What is sent while nobody listens is lost. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "native.h"
#include "port.h"

enum { POLL_MS = 5 };

static NATIVE_HARDWARE struct {
    int listener;
    int client; /* -1: nobody on the wire */
    uint32_t in_at, in_bytes, out_bytes;
    uint8_t in[4096];
    uint8_t out[4096];
} uart;

int32_t native_open_console(void)
{
    uart.client = -1;
    uart.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (uart.listener < 0) {
        return -1;
    }
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof at;
    if (bind(uart.listener, (struct sockaddr *)&at, bytes) != 0 || listen(uart.listener, 1) != 0 ||
        getsockname(uart.listener, (struct sockaddr *)&at, &bytes) != 0) {
        return -1;
    }
    return ntohs(at.sin_port);
}

static void hang_up(void)
{
    close(uart.client);
    uart.client = -1;
    uart.out_bytes = 0;
}

static void flush(void)
{
    uint32_t sent = 0;
    while (uart.client >= 0 && sent < uart.out_bytes) {
        const ssize_t now = send(uart.client, uart.out + sent, uart.out_bytes - sent, MSG_NOSIGNAL);
        if (now <= 0) {
            hang_up();
        } else {
            sent += (uint32_t)now;
        }
    }
    uart.out_bytes = 0;
}

int native_network = -1;

/* Waits a little for whoever is next to say something: a client, or one that connects. The network ends the wait too. */
static bool anything(int from)
{
    struct pollfd wanted[2] = {{.fd = from, .events = POLLIN}, {.fd = native_network, .events = POLLIN}};
    return poll(wanted, 2, POLL_MS) > 0 && wanted[0].revents != 0;
}

int32_t hil_port_getc(void)
{
    if (uart.in_at < uart.in_bytes) {
        return uart.in[uart.in_at++];
    }
    flush();
    if (uart.client < 0) {
        if (anything(uart.listener)) {
            uart.client = accept(uart.listener, NULL, NULL);
            const int on = 1;
            setsockopt(uart.client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        }
        return -1;
    }
    if (!anything(uart.client)) {
        return -1;
    }
    const ssize_t now = recv(uart.client, uart.in, sizeof uart.in, 0);
    if (now <= 0) {
        hang_up();
        return -1;
    }
    uart.in_at = 1;
    uart.in_bytes = (uint32_t)now;
    return uart.in[0];
}

void hil_port_putc(uint8_t byte)
{
    if (uart.client < 0) {
        return;
    }
    uart.out[uart.out_bytes++] = byte;
    /* A frame begins and ends with a zero. */
    if ((byte == 0u && uart.out_bytes > 1u) || uart.out_bytes == sizeof uart.out) {
        flush();
    }
}
