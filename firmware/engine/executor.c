/* What core 0 and its user see of a loaded program: run it, and where its inputs and outputs lie. */
#include "kernel.h"

static const hil_header *header_of(const hil_engine *engine)
{
    return (const hil_header *)(const void *)engine->program;
}

hil_status hil_engine_run(hil_engine *engine, uint32_t first, uint32_t count, uint32_t jitter, uint32_t alone)
{
    if (!engine->loaded) {
        return HIL_NOT_LOADED;
    }
    if (first > engine->steps || count > engine->steps - first || alone > engine->cores) {
        return HIL_BAD_ARGUMENT;
    }
    const hil_job job = {first, count == 0u ? engine->steps : first + count, jitter, alone};
    engine->failed = HIL_OK;
    engine->job = job; /* the others are at the meeting below, or at the next one, and read it behind that */
    if (alone == 0u) {
        hil_engine_meet(engine, 0);
    }
    hil_engine_walk(engine, 0);
    if (alone == 0u) {
        hil_engine_meet(engine, 0);
    }
    if (HIL_NODES > 1u && engine->failed != HIL_OK) {
        return (hil_status)engine->failed;
    }
    engine->mates[0].step = job.end > first ? job.end - 1u : first;
    return HIL_OK;
}

static hil_status span_at(const hil_engine *engine, uint32_t table, uint32_t count, uint32_t index, hil_span *span)
{
    if (!engine->loaded) {
        return HIL_NOT_LOADED;
    }
    if (index >= count) {
        return HIL_BAD_ARGUMENT;
    }
    *span = ((const hil_span *)(const void *)(engine->program + table))[index];
    return HIL_OK;
}

hil_status hil_engine_input(const hil_engine *engine, uint32_t index, hil_span *span)
{
    return span_at(engine, engine->loaded ? header_of(engine)->inputs_at : 0u, engine->inputs, index, span);
}

hil_status hil_engine_output(const hil_engine *engine, uint32_t index, hil_span *span)
{
    return span_at(engine, engine->loaded ? header_of(engine)->outputs_at : 0u, engine->outputs, index, span);
}
