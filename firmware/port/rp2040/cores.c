/* Core 1, which the boot ROM holds until it is launched through the mailboxes between the cores (section 2.8.2); and how
 * the cores wait for each other: WFE sleeps until the other's SEV, and an SEV that came before is remembered. */
#include "port.h"
#include "registers.h"
#include "rp2040.h"

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

void rp2040_reset_core1(void)
{
    set_bits(PSM_FORCE_OFF, PSM_CORE1); /* section 2.13 */
    while ((*reg(PSM_FORCE_OFF) & PSM_CORE1) == 0u) {
    }
    clear_bits(PSM_FORCE_OFF, PSM_CORE1);
    wait_bits(PSM_DONE, PSM_CORE1);
}

void hil_port_start_core(uint32_t core, void (*entry)(void))
{
    (void)core; /* there is but one other */
    const uint32_t words[] = {
        0, 0, 1, (uint32_t)(uintptr_t)__hil_vectors, (uint32_t)(uintptr_t)__hil_stack1_top, (uint32_t)(uintptr_t)entry,
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
