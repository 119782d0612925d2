/* Cores are threads on stacks of ours, so that they can be painted and measured. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "native.h"
#include "port.h"

enum { WAIT_NS = 1000000, SPINS = 200 };

#define PAGE 0x10000u      /* the largest that Linux has on any processor */
#define LIBRARY 0x200000u /* sanitizers want nearly 1 MiB; memory that is not touched costs nothing */

/* One core's stacks. The C library keeps its own things at the top of a thread's: `library` is room for them. Signals
 * come on a stack of their own, so that an overflow, which ends in the guard, can be reported. */
typedef struct {
    uint8_t guard[PAGE];
    uint8_t stack[HIL_STACK_BYTES];
    uint8_t library[LIBRARY];
    uint8_t signals[PAGE];
} place;

_Static_assert(HIL_STACK_BYTES % PAGE == 0, "stacks are whole pages, so that guards are");

static NATIVE_HARDWARE _Alignas(PAGE) place places[HIL_CORES];

typedef struct {
    void (*entry)(void);
    uint8_t *top; /* where the stack was empty; NULL: not started */
    uint32_t seen; /* of `events`, when it last looked: what a core's event register holds on a board */
} core_state;

static NATIVE_HARDWARE core_state cores[HIL_CORES];
static NATIVE_HARDWARE uint32_t events;

int hil_main(void);

bool native_protect(void)
{
    for (uint32_t core = 0; core < HIL_CORES; core++) {
        if (mprotect(places[core].guard, sizeof places[core].guard, PROT_NONE) != 0) {
            return false;
        }
    }
    return true;
}

uint32_t native_core_at(uintptr_t sp)
{
    return (uint32_t)((sp - (uintptr_t)places) / sizeof(place));
}

uint32_t hil_port_core(void)
{
    return native_core_at(native_sp());
}

void hil_port_stack(uint32_t core, hil_stack *stack)
{
    uint8_t *top = __atomic_load_n(&cores[core].top, __ATOMIC_ACQUIRE);
    stack->bytes = HIL_STACK_BYTES;
    stack->low = top == NULL ? places[core].stack : top - HIL_STACK_BYTES;
}

void hil_port_paint_stack(uint32_t core)
{
    hil_stack stack;
    hil_port_stack(core, &stack);
    const uintptr_t end = core == hil_port_core() ? native_sp() : (uintptr_t)stack.low + stack.bytes;
    /* Byte by byte through volatile: no call that would need the stack below. */
    for (volatile uint8_t *at = stack.low; (uintptr_t)at < end; at++) {
        *at = HIL_STACK_PAINT;
    }
}

/* Where every thread's stack begins to count: what is above belongs to the C library. */
__attribute__((noinline)) static void *on_thread(void *given)
{
    core_state *core = given;
    const stack_t signals = {.ss_sp = places[core - cores].signals, .ss_size = PAGE};
    sigaltstack(&signals, NULL);
    __atomic_store_n(&core->top, (uint8_t *)native_sp(), __ATOMIC_RELEASE);
    core->entry();
    return NULL;
}

static bool start(uint32_t core, void (*entry)(void))
{
    pthread_attr_t attributes;
    pthread_t thread;
    cores[core].entry = entry;
    return pthread_attr_init(&attributes) == 0 &&
           pthread_attr_setstack(&attributes, places[core].stack, HIL_STACK_BYTES + LIBRARY) == 0 &&
           pthread_create(&thread, &attributes, on_thread, &cores[core]) == 0;
}

static void hil_reset(void)
{
    hil_main();
}

bool native_start_core_0(void)
{
    return start(0, hil_reset);
}

void hil_port_start_core(uint32_t core, void (*entry)(void))
{
    if (!start(core, entry)) {
        __builtin_trap(); /* reported as a fault of the core that asked */
    }
}

/* The futex is the wire on which cores wake each other. Each has seen some events; a signal is one more. So one that
 * comes between looking and sleeping is not lost: the sleep ends at once, since the count has changed. */
void hil_port_wait(void)
{
    core_state *own = &cores[hil_port_core()];
    for (uint32_t spin = 0; spin < SPINS; spin++) {
        const uint32_t now = __atomic_load_n(&events, __ATOMIC_ACQUIRE);
        if (now != own->seen) {
            own->seen = now;
            return;
        }
    }
    const struct timespec most = {0, WAIT_NS};
    syscall(SYS_futex, &events, FUTEX_WAIT_PRIVATE, own->seen, &most, NULL, 0);
}

void hil_port_signal(void)
{
    __atomic_fetch_add(&events, 1u, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &events, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}
