#ifndef HIL_MAIN_H
#define HIL_MAIN_H

#include "server.h"

/* The one server; a port's fault handler reports through it. */
extern hil_server hil_the_server;

#endif
