/* Core 1, which the boot ROM holds until it is launched through the mailboxes between the cores (section 5.3); and how
 * the cores wait for each other: WFE sleeps until the other's SEV, and an SEV that came before is remembered. */
#include "port.h"
#include "registers.h"
#include "rp2350.h"

extern uint32_t __hil_stack1_top[];
extern const uint32_t __hil_vectors[];

static void wait_for_event(void)
{
    __asm__ volatile("wfe" ::: "memory");
}

static void send_event(void)
{
    __asm__ volatile("dsb\n\tsev" ::: "memory"); /* what was stored must be there when the other wakes */
}

static uint32_t receive(void)
{
    while ((*reg(SIO_FIFO_STATUS) & SIO_FIFO_HAS_WORD) == 0u) {
        wait_for_event();
    }
    return *reg(SIO_FIFO_READ);
}

static void send(uint32_t word)
{
    while ((*reg(SIO_FIFO_STATUS) & SIO_FIFO_HAS_ROOM) == 0u) {
    }
    *reg(SIO_FIFO_WRITE) = word;
    send_event();
}

static void drain(void)
{
    while ((*reg(SIO_FIFO_STATUS) & SIO_FIFO_HAS_WORD) != 0u) {
        (void)*reg(SIO_FIFO_READ);
    }
}

static inline void enable_fpu(void)
{
    *reg(CPACR) |= CPACR_FPU;
    __asm__ volatile("dsb\n\tisb" ::: "memory"); /* before the first instruction that needs it */
}

void rp2350_enable_fpu(void)
{
    enable_fpu();
}

/* Core 1's first own code. Written by core 0 before the mailbox carries the address of start_core1. */
static void (*volatile first)(void);

/* A jump, not a call: what runs next has the whole stack, as its bound says. */
__attribute__((noreturn)) static void start_core1(void)
{
    enable_fpu();
    __asm__ volatile("bx %0" : : "r"(first));
    __builtin_unreachable();
}

void rp2350_reset_core1(void)
{
    set_bits(PSM_FORCE_OFF, PSM_CORE1); /* section 7.4 */
    while ((*reg(PSM_FORCE_OFF) & PSM_CORE1) == 0u) {
    }
    clear_bits(PSM_FORCE_OFF, PSM_CORE1);
    wait_bits(PSM_DONE, PSM_CORE1);
}

void hil_port_start_core(uint32_t core, void (*entry)(void))
{
    (void)core; /* there is but one other */
    first = entry;
    __asm__ volatile("dsb" ::: "memory"); /* entry is there before core 1 is told to go */
    const uint32_t words[] = {
        0, 0, 1, (uint32_t)(uintptr_t)__hil_vectors, (uint32_t)(uintptr_t)__hil_stack1_top,
        (uint32_t)(uintptr_t)start_core1,
    };
    /* The ROM sends every word back; another answer means that it was not there yet, and all begins again. */
    for (uint32_t at = 0; at < sizeof words / sizeof words[0];) {
        if (words[at] == 0u) {
            drain();
            send_event();
        }
        send(words[at]);
        at = receive() == words[at] ? at + 1u : 0u;
    }
}

uint32_t hil_port_core(void)
{
    return *reg(SIO_CPUID);
}

void hil_port_wait(void)
{
    wait_for_event();
}

void hil_port_signal(void)
{
    send_event();
}
