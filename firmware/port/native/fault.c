/* Signals of the processor's own faults, as fault reports. The fields that are named after Arm's registers carry what
 * this machine has: r0 the low half of the address that could not be accessed, xpsr the signal's number. */
#define _GNU_SOURCE
#include <signal.h>
#include <ucontext.h>

#include "main.h"
#include "native.h"

static void on_signal(int number, siginfo_t *info, void *context)
{
    const ucontext_t *at = context;
#if defined(__x86_64__)
    const uint64_t pc = (uint64_t)at->uc_mcontext.gregs[REG_RIP];
    const uint64_t sp = (uint64_t)at->uc_mcontext.gregs[REG_RSP];
#else
    const uint64_t pc = at->uc_mcontext.pc;
    const uint64_t sp = at->uc_mcontext.sp;
#endif
    const hil_fault fault = {
        .reason = number == SIGSEGV || number == SIGBUS ? HIL_HARD_FAULT : HIL_OTHER_EXCEPTION,
        .core = native_core_at((uintptr_t)sp),
        .sp = (uint32_t)sp,
        .r0 = (uint32_t)(uintptr_t)info->si_addr,
        .pc = (uint32_t)pc,
        .xpsr = (uint32_t)number,
    };
    hil_server_fault(&hil_the_server, &fault);
}

bool native_report_faults(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (uint32_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        if (sigaction(faults[i], &action, NULL) != 0) {
            return false;
        }
    }
    return true;
}
