/* This machine's monotonic clock: microseconds, and nanoseconds as the fine counter. Timed, not counted. */
#define _GNU_SOURCE
#include <time.h>

#include "native.h"
#include "port.h"

static uint64_t started;

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void native_start_clock(void)
{
    started = nanoseconds();
}

uint64_t hil_port_us(void)
{
    return (nanoseconds() - started) / 1000u;
}

uint32_t hil_port_ticks(void)
{
    return (uint32_t)nanoseconds();
}

uint32_t hil_port_tick_mask(void)
{
    return UINT32_MAX;
}

uint32_t hil_port_ticks_per_us_q16(void)
{
    return (uint32_t)(((uint64_t)HIL_CLOCK_HZ << 16) / 1000000u);
}

uint32_t hil_port_clock_hz(void)
{
    return HIL_CLOCK_HZ;
}
