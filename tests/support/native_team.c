/* The cores of a team as threads of this machine. */
#include "native_team.h"

#include <pthread.h>
#include <sched.h>
#include <stddef.h>

uint32_t (*team_exchange)(hil_engine *engine, uint32_t first, uint32_t end);

void hil_engine_wait(void)
{
    sched_yield();
}

void hil_engine_signal(void)
{
}

typedef struct {
    hil_engine *engine;
    uint32_t core;
} mate;

static void *work(void *given)
{
    const mate *one = given;
    hil_engine_meet(one->engine, one->core);
    hil_engine_walk(one->engine, one->core);
    hil_engine_meet(one->engine, one->core);
    return NULL;
}

hil_status team_run(hil_engine *engine, uint32_t jitter)
{
    pthread_t threads[HIL_MAX_CORES];
    mate mates[HIL_MAX_CORES];
    const uint32_t cores = engine->loaded ? engine->cores : 1u;
    for (uint32_t core = 1; core < cores; core++) {
        mates[core] = (mate){engine, core};
        if (pthread_create(&threads[core], NULL, work, &mates[core]) != 0) {
            __builtin_trap();
        }
    }
    const hil_status status = hil_engine_run(engine, 0, 0, jitter, 0);
    for (uint32_t core = 1; core < cores; core++) {
        pthread_join(threads[core], NULL);
    }
    return status;
}

hil_status hil_engine_exchange(hil_engine *engine, uint32_t first, uint32_t end)
{
    return team_exchange == NULL ? HIL_NET_TIMEOUT : (hil_status)team_exchange(engine, first, end);
}
