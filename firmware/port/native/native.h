/* This machine as a board: a Linux process whose threads are the cores. Console, threads and clock are Linux's, and stand
 * where a board has hardware; everything above port.h is what every other board runs. */
#ifndef HIL_NATIVE_H
#define HIL_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What stands for hardware (memories, the UART's buffers) is not the firmware's static data: the linker script keeps it
 * apart, and does not count it. */
#define NATIVE_HARDWARE __attribute__((section(".bss.native_hardware")))

/* Listens on the loopback interface. Returns the port, or -1. */
int32_t native_open_console(void);

/* The socket of the network, or -1: who waits for the console does not sleep through what comes there. */
extern int native_network;

/* Time 0 is now. */
void native_start_clock(void);

/* Guards below the stacks; handlers that report faults. False if the system refuses. */
bool native_protect(void);
bool native_report_faults(void);

/* Runs hil_main on core 0. False if the system refuses. */
bool native_start_core_0(void);

/* The core whose stack an address is on; meaningless for other addresses. */
uint32_t native_core_at(uintptr_t sp);

/* The stack pointer of whoever is asking. */
__attribute__((always_inline)) static inline uintptr_t native_sp(void)
{
    uintptr_t sp = 0;
#if defined(__x86_64__)
    __asm__ volatile("movq %%rsp, %0" : "=r"(sp));
#elif defined(__aarch64__)
    __asm__ volatile("mov %0, sp" : "=r"(sp));
#else
#error "native knows x86-64 and AArch64"
#endif
    return sp;
}

#endif
