#ifndef HIL_MAIN_H
#define HIL_MAIN_H

#include "server.h"

/* The one server; a port's fault handler reports through it. */
extern hil_server hil_the_server;

/* Where every core but 0 starts, on a stack of its own that nothing else is on: the bound on the depth of those stacks
 * is computed from here. */
void hil_worker(void);

#endif
