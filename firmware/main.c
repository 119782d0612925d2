/* Listens for ever. Everything else happens because the host asked for it. */
#include "main.h"

hil_server hil_the_server;

int main(void)
{
    hil_server_start(&hil_the_server);
    for (;;) {
        int32_t byte = -1;
        while (byte < 0) {
            byte = hil_port_getc();
        }
        hil_server_byte(&hil_the_server, (uint8_t)byte);
    }
}
