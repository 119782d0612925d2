/* Interprets the steps of a loaded program, one after the other. */
#include "kernel.h"
#include "kernels/kernels.h"

static const hil_header *header_of(const hil_engine *engine)
{
    return (const hil_header *)(const void *)engine->program;
}

hil_status hil_engine_run(hil_engine *engine, uint32_t first, uint32_t count)
{
    if (!engine->loaded) {
        return HIL_NOT_LOADED;
    }
    if (first > engine->steps || count > engine->steps - first) {
        return HIL_BAD_ARGUMENT;
    }
    const uint32_t end = count == 0u ? engine->steps : first + count;
    const hil_header *header = header_of(engine);
    const hil_step *steps = (const hil_step *)(const void *)(engine->program + header->steps_at);
    const uint32_t *records = (const uint32_t *)(const void *)(engine->program + header->operators_at);
    const hil_memory memory = {engine->program, engine->arena};
    for (uint32_t i = first; i < end; i++) {
        engine->step = i;
        const uint32_t at = records[steps[i].operator_index];
        hil_run_kernel(&memory, (const hil_record *)(const void *)(engine->program + at), &steps[i].box);
    }
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
