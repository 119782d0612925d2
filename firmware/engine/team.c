/* The cores that run one program together: where they meet, and how each walks the steps. */
#include "kernel.h"
#include "kernels/kernels.h"
#include "order.h"

/* No read-modify-write, which Cortex-M0+ lacks: every core counts the meetings it came to in a word that it alone
 * writes, and waits until all others have come to as many. Counts may wrap; two cores are never two meetings apart.
 *
 * Order: the release makes what this core wrote before the meeting visible before its count; the acquire of each
 * other core's count makes what that core wrote visible here. So all see after a meeting what any wrote before it, and
 * nobody overwrites after it what another still reads before it. */
void hil_engine_meet(hil_engine *engine, uint32_t core)
{
    const uint32_t mine = engine->mates[core].met + 1u;
    hil_store_release(&engine->mates[core].met, mine);
    if (engine->cores > 1u) {
        hil_engine_signal();
    }
    for (uint32_t other = 0; other < engine->cores; other++) {
        while (hil_load_acquire(&engine->mates[other].met) - mine > 0x7fffffffu) {
            hil_engine_wait();
        }
    }
}

/* Delays by 0 to 255 rounds, the same for the same seed, core and step. They are mixed as MurmurHash3 ends (Appleby): a
 * linear generator would keep two cores at the same distance from step to step. */
static void dawdle(uint32_t seed, uint32_t core, uint32_t step)
{
    uint32_t state = seed * 0x9e3779b9u + core;
    state = (state ^ state >> 16) * 0x85ebca6bu + step;
    state = (state ^ state >> 13) * 0xc2b2ae35u;
    for (volatile uint32_t left = (state ^ state >> 16) & 255u; left > 0u; left--) {
    }
}

/* Core 0: does the exchange that begins at step `first`, and gives its end. After a failure the walk goes on, but does
 * nothing more than to meet the other cores. */
static uint32_t do_exchange(hil_engine *engine, const hil_step *steps, uint32_t first)
{
    uint32_t end = first + 1u;
    while (end < engine->job.end && hil_step_moves(&steps[end])) {
        end++;
    }
    const hil_status status = hil_engine_exchange(engine, first, end);
    if (status != HIL_OK) {
        hil_store_release(&engine->failed, (uint32_t)status);
    }
    return end;
}

void hil_engine_walk(hil_engine *engine, uint32_t core)
{
    const hil_header *header = (const hil_header *)(const void *)engine->program;
    const hil_step *steps = (const hil_step *)(const void *)(engine->program + header->steps_at);
    const uint32_t *records = (const uint32_t *)(const void *)(engine->program + header->operators_at);
    const hil_memory memory = {engine->program, engine->arena};
    const hil_job *job = &engine->job; /* nobody writes it before the next meeting */
    const uint32_t part = job->alone == 0u ? core : job->alone - 1u;
    bool failed = false; /* a failure of core 0's is seen behind the next meeting; till then all compute their own */
    for (uint32_t i = job->first; i < job->end; i++) {
        const uint32_t kind = steps[i].kind;
        if (kind == HIL_STEP_BOX ? steps[i].core != part : job->alone != 0u) {
            continue;
        }
        /* Messages are core 0's; and after a failure there is nothing more to do than to meet. */
        if (HIL_NODES > 1u && kind != HIL_STEP_BARRIER && (failed || (kind != HIL_STEP_BOX && core != 0u))) {
            continue;
        }
        if (!failed) {
            engine->mates[core].step = i;
        }
        if (job->jitter != 0u) {
            dawdle(job->jitter, core, i);
        }
        if (kind == HIL_STEP_BARRIER) {
            hil_engine_meet(engine, core);
        } else if (HIL_NODES > 1u && kind != HIL_STEP_BOX) {
            i = do_exchange(engine, steps, i) - 1u;
        } else {
            const uint32_t at = records[steps[i].operator_index];
            hil_run_kernel(&memory, (const hil_record *)(const void *)(engine->program + at), &steps[i].box);
        }
        if (HIL_NODES > 1u && kind != HIL_STEP_BOX) {
            failed = hil_load_acquire(&engine->failed) != HIL_OK;
        }
    }
}
