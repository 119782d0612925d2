/* There is one core, and nobody to wait for. Of every port without a cores.c of its own. */
#include "port.h"

uint32_t hil_port_core(void)
{
    return 0;
}

void hil_port_start_core(uint32_t core, void (*entry)(void))
{
    (void)core;
    (void)entry;
}

void hil_port_wait(void)
{
}

void hil_port_signal(void)
{
}
