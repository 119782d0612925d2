/* The process: its first thread is the power switch. It starts core 0, says where the console is, and ends everything
 * when standard input ends, whatever the cores do. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "native.h"
#include "port.h"

#undef main /* the firmware's own is called hil_main here, see the board's file */

int main(void)
{
    const int32_t port = native_open_console();
    if (port < 0 || !native_protect() || !native_report_faults()) {
        perror("native: cannot listen, or guard the stacks");
        return 4;
    }
    native_start_clock();
    if (!native_start_core_0()) {
        fputs("native: cannot start a thread\n", stderr);
        return 4;
    }
    printf("{\"schema\": \"hil.virtual/1\", \"uart0\": %d, \"pid\": %d}\n", (int)port, (int)getpid());
    fflush(stdout);
    char ignored[64];
    while (read(STDIN_FILENO, ignored, sizeof ignored) > 0) {
    }
    _exit(0);
}
