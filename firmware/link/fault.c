/* The last words of a device: which core stopped where, again and again until it is reset. */
#include "order.h"
#include "server.h"

enum { NO_FAULT = 0, STANDS = 1, REPORTS = 2, SILENT = 3 };

/* No read-modify-write: a core says that it stands, and looks at the others. The fence lets at least the later of two
 * see the other, so never two report. A lower core has precedence; a higher one that may have looked before this one
 * stood makes up its mind within a few instructions. */
bool hil_first_fault(uint32_t *states, uint32_t cores, uint32_t core)
{
    bool first = true;
    hil_store_release(&states[core], STANDS);
    hil_fence(); /* that store can be seen before the others' states are loaded */
    for (uint32_t other = 0; other < cores; other++) {
        if (other == core) {
            continue;
        }
        uint32_t state = hil_load_acquire(&states[other]);
        while (other > core && state == STANDS) {
            state = hil_load_acquire(&states[other]);
        }
        first = first && (other < core ? state == NO_FAULT : state != REPORTS);
    }
    hil_store_release(&states[core], first ? REPORTS : SILENT);
    return first;
}

void hil_server_fault(hil_server *server, const hil_fault *fault)
{
    /* Another core is in a meeting, or will be: it has nothing to send before this core comes there too. */
    const uint32_t core = fault->core < HIL_MAX_CORES ? fault->core : 0u;
    if (!hil_first_fault(server->faults, server->engine.cores, core)) {
        for (;;) {
            hil_port_wait();
        }
    }
    const uint32_t words[] = {fault->reason, fault->core, server->engine.mates[core].step, fault->sp, fault->r0,
                              fault->r1,     fault->r2,   fault->r3,           fault->r12, fault->lr,
                              fault->pc,     fault->xpsr, fault->exc_return};
    uint8_t *out = server->event + HIL_LINK_HEADER;
    for (uint32_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        hil_put32(out + 4u * i, words[i]);
    }
    for (;;) {
        hil_send(server->event, HIL_FAULT, 0, HIL_LINK_OK, (uint32_t)sizeof words);
        hil_frame request;
        int32_t byte = -1;
        do {
            byte = hil_port_getc();
        } while (byte < 0 || !hil_receive(&server->receiver, (uint8_t)byte, &request));
    }
}
