/* Core 0 listens for ever, the others wait for work. Everything else happens because the host asked for it. */
#include "main.h"
#include "network.h"

hil_server hil_the_server;

void hil_worker(void)
{
    hil_server_work(&hil_the_server, hil_port_core());
}

int main(void)
{
    hil_server_start(&hil_the_server, hil_worker);
    for (;;) {
        int32_t byte = -1;
        while (byte < 0) {
            if (HIL_NODES > 1u && hil_network_poll()) {
                hil_server_idle(&hil_the_server);
            }
            byte = hil_port_getc();
        }
        hil_server_byte(&hil_the_server, (uint8_t)byte);
    }
}
