/* What core 0 and its user see of a loaded program: run it, and where its inputs and outputs lie. */
#include "kernel.h"

static const hil_header *header_of(const hil_engine *engine)
{
    return (const hil_header *)(const void *)engine->program;
}

static hil_status job_of(const hil_engine *engine, uint32_t first, uint32_t count, hil_job *job)
{
    if (!engine->loaded) {
        return HIL_NOT_LOADED;
    }
    if (first > engine->steps || count > engine->steps - first) {
        return HIL_BAD_ARGUMENT;
    }
    job->first = first;
    job->end = count == 0u ? engine->steps : first + count;
    return HIL_OK;
}

static void note_last(hil_engine *engine, const hil_job *job)
{
    engine->mates[0].step = job->end > job->first ? job->end - 1u : job->first;
}

hil_status hil_engine_run(hil_engine *engine, uint32_t first, uint32_t count, uint32_t jitter)
{
    hil_job job = {0, 0, jitter};
    const hil_status status = job_of(engine, first, count, &job);
    if (status != HIL_OK) {
        return status;
    }
    engine->job = job; /* the others are at the meeting below, and read it behind that */
    hil_engine_meet(engine, 0);
    hil_engine_walk(engine, 0);
    hil_engine_meet(engine, 0);
    note_last(engine, &job);
    return HIL_OK;
}

hil_status hil_engine_run_part(hil_engine *engine, uint32_t first, uint32_t count, uint32_t part)
{
    hil_job job = {0, 0, 0};
    const hil_status status = job_of(engine, first, count, &job);
    if (status != HIL_OK || part >= engine->cores) {
        return status != HIL_OK ? status : HIL_BAD_ARGUMENT;
    }
    hil_engine_walk_alone(engine, &job, part);
    note_last(engine, &job);
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
