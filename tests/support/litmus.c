/* Litmus tests, with real threads, of the engine's meeting, of its ordered words, and of the choice among cores that
 * fault: `litmus CORES ROUNDS`. Prints for each pattern its name and how often what must never happen did. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "hil_engine.h"
#include "order.h"
#include "server.h"

enum { WORDS = 16 };

static hil_engine team;
static uint32_t rounds;
static uint32_t board[HIL_MAX_CORES][WORDS]; /* plain words, ordered by meetings alone */
static uint32_t flag[HIL_MAX_CORES], saw[HIL_MAX_CORES], states[HIL_MAX_CORES], won[HIL_MAX_CORES];
static uint32_t message[WORDS], ready;
static uint64_t early[HIL_MAX_CORES], stale[HIL_MAX_CORES], both_missed, not_one;

void hil_engine_wait(void)
{
    sched_yield();
}

void hil_engine_signal(void)
{
}

/* Nobody may read a row before all of it is written, nor write it while another still reads. */
static void meet(uint32_t core, uint32_t round)
{
    for (uint32_t i = 0; i < WORDS; i++) {
        board[core][i] = round * 31u + core + i;
    }
    hil_engine_meet(&team, core);
    for (uint32_t other = 0; other < team.cores; other++) {
        for (uint32_t i = 0; i < WORDS; i++) {
            early[core] += board[other][i] != round * 31u + other + i;
        }
    }
    hil_engine_meet(&team, core);
}

/* Message passing: who sees the flag of this round sees the message. */
static void pass_message(uint32_t core, uint32_t round)
{
    if (core == 0u) {
        for (uint32_t i = 0; i < WORDS; i++) {
            message[i] = round + i;
        }
        hil_store_release(&ready, round + 1u);
    } else {
        while (hil_load_acquire(&ready) != round + 1u) {
            sched_yield();
        }
        for (uint32_t i = 0; i < WORDS; i++) {
            stale[core] += message[i] != round + i;
        }
    }
    hil_engine_meet(&team, core);
}

/* Store buffering: of two neighbours that each store and then look at the other, at least one sees the other. */
static void buffer_stores(uint32_t core, uint32_t round)
{
    const uint32_t next = (core + 1u) % team.cores, before = (core + team.cores - 1u) % team.cores;
    hil_store_release(&flag[core], round + 1u);
    hil_fence();
    const bool saw_next = hil_load_acquire(&flag[next]) == round + 1u;
    const bool saw_before = hil_load_acquire(&flag[before]) == round + 1u;
    saw[core] = (saw_next ? 1u : 0u) | (saw_before ? 2u : 0u);
    hil_engine_meet(&team, core);
    if (core == 0u) {
        for (uint32_t k = 0; k < team.cores; k++) {
            both_missed += (saw[k] & 1u) == 0u && (saw[(k + 1u) % team.cores] & 2u) == 0u;
        }
    }
    hil_engine_meet(&team, core);
}

/* Of those that fault at once, some of the cores in some rounds, exactly one reports. */
static void fault_together(uint32_t core, uint32_t round)
{
    const bool faults = (((round * 2654435761u) >> 20) & (1u << core)) != 0u;
    won[core] = faults && hil_first_fault(states, team.cores, core) ? 1u : 0u;
    hil_engine_meet(&team, core);
    if (core == 0u) {
        uint32_t stood = 0, winners = 0;
        for (uint32_t k = 0; k < team.cores; k++) {
            stood += states[k] != 0u;
            winners += won[k];
            states[k] = 0;
        }
        not_one += winners != (stood > 0u ? 1u : 0u);
    }
    hil_engine_meet(&team, core);
}

static void *run(void *given)
{
    const uint32_t core = *(const uint32_t *)given;
    for (uint32_t round = 0; round < rounds; round++) {
        meet(core, round);
        pass_message(core, round);
        buffer_stores(core, round);
        fault_together(core, round);
    }
    return NULL;
}

static uint64_t sum(const uint64_t *counts)
{
    uint64_t all = 0;
    for (uint32_t core = 0; core < HIL_MAX_CORES; core++) {
        all += counts[core];
    }
    return all;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    team.cores = (uint32_t)strtoul(argv[1], NULL, 10);
    rounds = (uint32_t)strtoul(argv[2], NULL, 10);
    pthread_t threads[HIL_MAX_CORES];
    uint32_t numbers[HIL_MAX_CORES];
    for (uint32_t core = 0; core < team.cores; core++) {
        numbers[core] = core;
        if (pthread_create(&threads[core], NULL, run, &numbers[core]) != 0) {
            return 3;
        }
    }
    for (uint32_t core = 0; core < team.cores; core++) {
        pthread_join(threads[core], NULL);
    }
    printf("meeting %llu\nmessage %llu\nstores %llu\nfaults %llu\n", (unsigned long long)sum(early),
           (unsigned long long)sum(stale), (unsigned long long)both_missed, (unsigned long long)not_one);
    return 0;
}
