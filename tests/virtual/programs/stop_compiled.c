/* What compilers make of ordinary C: recursion, jump tables, calls through pointers, shifts of 64 bits, bytes,
 * halfwords and words with and without a sign, long stack frames. */
#include "stop.h"

#define COUNT 96

typedef uint32_t Step(uint32_t);

static uint32_t seed = 0;
static uint8_t bytes[COUNT];
static int16_t halves[COUNT];
static uint32_t sorted[COUNT];

static uint32_t next(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed;
}

static uint32_t rotate(uint32_t x) { return x >> 7 | x << 25; }
static uint32_t spread(uint32_t x) { return (uint32_t)(((uint64_t)x << 13 ^ x) >> 5); }
static uint32_t narrow(uint32_t x) { return (uint32_t)((int8_t)x * (int16_t)(x >> 8)); }
static Step *const steps[] = {rotate, spread, narrow};

static void sort(uint32_t *at, int32_t low, int32_t high)
{
    if (low >= high) return;
    uint32_t pivot = at[(low + high) / 2];
    int32_t i = low, j = high;
    while (i <= j) {
        while (at[i] < pivot) i++;
        while (at[j] > pivot) j--;
        if (i <= j) {
            uint32_t held = at[i];
            at[i++] = at[j];
            at[j--] = held;
        }
    }
    sort(at, low, j);
    sort(at, i, high);
}

__attribute__((noinline)) static uint32_t chosen(uint32_t x)
{
    switch (x & 15u) {
    case 0: return x + 3u;
    case 1: return x ^ 0x5555u;
    case 2: return rotate(x);
    case 3: return ~x;
    case 4: return x * 17u;
    case 5: return spread(x);
    case 6: return x - (x >> 3);
    case 7: return narrow(x);
    case 8: return (uint32_t)((int32_t)x >> 9);
    case 9: return __builtin_bswap32(x);
    default: return x << 1;
    }
}

__attribute__((noinline)) static uint32_t deep(uint32_t depth, volatile uint32_t *above)
{
    volatile uint32_t frame[40];
    frame[depth & 31u] = *above + depth;
    return depth == 0u ? frame[0] : deep(depth - 1u, &frame[depth & 31u]) + frame[depth & 31u];
}

static int64_t products(void)
{
    int64_t sum = 0;
    for (int i = 0; i < COUNT; i++) {
        const int32_t product = (int8_t)bytes[i] * halves[COUNT - 1 - i];
        sum += product;
        sum = sum < 0 ? sum + ((int64_t)1 << 33) : sum;
    }
    return sum;
}

void main(void)
{
    seed = 12345;
    uint32_t sum = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < COUNT; i++) {
            sorted[i] = next();
            bytes[i] = (uint8_t)(next() >> 11);
            halves[i] = (int16_t)(next() >> 13);
        }
        sort(sorted, 0, COUNT - 1);
        for (int i = 0; i < COUNT; i++) {
            sum = sum * 31u + chosen(sorted[i]);
            sum ^= steps[bytes[i] & 1u ? 0 : halves[i] & 2 ? 1 : 2](sum);
            sum += i > 0 && sorted[i - 1] > sorted[i];
        }
        const int64_t total = products();
        sum ^= (uint32_t)total ^ (uint32_t)(total >> 32);
        sum += deep(12, &sum);
    }
    ANSWER[0] = sum;
    ANSWER[1] = seed;
    stop();
}
