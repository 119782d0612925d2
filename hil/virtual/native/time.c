/* Rates and counters: exact rational arithmetic on clk_sys cycles. */
#include "machine.h"

typedef unsigned __int128 Wide;

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

Rate rate_make(uint64_t num, uint64_t den)
{
    uint64_t common = common_divisor(num, den);
    if (!num || !den) return (Rate){0, 1};
    return (Rate){num / common, den / common};
}

Rate rate_divide(Rate rate, uint64_t num, uint64_t den)
{
    Rate factor = rate_make(den, num);
    uint64_t a = common_divisor(rate.num, factor.den), b = common_divisor(factor.num, rate.den);
    if (!rate.num || !factor.num) return (Rate){0, 1};
    return (Rate){(rate.num / a) * (factor.num / b), (rate.den / b) * (factor.den / a)};
}

uint64_t counter_at(const Counter *counter, uint64_t cycle)
{
    if (cycle <= counter->base || !counter->num) return counter->count;
    return counter->count + (uint64_t)(((Wide)(cycle - counter->base) * counter->num + counter->rem) / counter->den);
}

uint64_t counter_when(const Counter *counter, uint64_t count)
{
    if (count <= counter->count) return counter->base;
    if (!counter->num) return NEVER;
    Wide needed = (Wide)(count - counter->count) * counter->den - counter->rem;
    Wide cycles = (needed + counter->num - 1) / counter->num;
    return cycles > (Wide)(NEVER - 1 - counter->base) ? NEVER : counter->base + (uint64_t)cycles;
}

void counter_set(Counter *counter, uint64_t cycle, uint64_t count)
{
    counter->base = cycle;
    counter->count = count;
    counter->rem = 0;
}

/* Go on at `rate` from `cycle`, keeping the part of a count that has already passed. */
void counter_rate(Counter *counter, uint64_t cycle, Rate rate, Rate sys)
{
    if (cycle > counter->base && counter->num) {
        Wide total = (Wide)(cycle - counter->base) * counter->num + counter->rem;
        counter->count += (uint64_t)(total / counter->den);
        counter->rem = (uint64_t)(total % counter->den);
    }
    if (cycle > counter->base) counter->base = cycle;
    Rate ratio = sys.num ? rate_divide(rate, sys.num, sys.den) : (Rate){0, 1};
    uint64_t old = counter->den ? counter->den : 1;
    counter->rem = (uint64_t)((Wide)counter->rem * ratio.den / old);
    counter->num = ratio.num;
    counter->den = ratio.den;
}
