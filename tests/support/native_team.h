#ifndef NATIVE_TEAM_H
#define NATIVE_TEAM_H

#include "hil_engine.h"

/* What does the exchanges of all engines; none: they time out. */
extern uint32_t (*team_exchange)(hil_engine *engine, uint32_t first, uint32_t end);

/* Runs all steps of a loaded program, each core as a thread. */
hil_status team_run(hil_engine *engine, uint32_t jitter);

#endif
