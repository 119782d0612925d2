#ifndef NATIVE_TEAM_H
#define NATIVE_TEAM_H

#include "hil_engine.h"

/* Runs all steps of a loaded program, each core as a thread. */
hil_status team_run(hil_engine *engine, uint32_t jitter);

#endif
