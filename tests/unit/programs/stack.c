/* Shapes of functions that the stack analysis must see through. `entry(n)` takes the deep path of case n. */
#include <stdint.h>

extern volatile uint32_t sink;
volatile uint32_t sink;

#define KEEP __attribute__((noinline, used))

static KEEP void use(volatile uint8_t *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)i;
        sink += bytes[i];
    }
}

KEEP uint32_t small(uint32_t a)
{
    volatile uint8_t room[40];
    use(room, sizeof room);
    return a + sink;
}

/* Too large for SUB SP, #imm7: the compiler adds a register to SP. */
KEEP uint32_t large(uint32_t a)
{
    volatile uint8_t room[1800];
    use(room, sizeof room);
    return small(a) + room[a & 7u];
}

KEEP uint32_t divides(uint64_t a, uint32_t b)
{
    return (uint32_t)(a / (b + 3u)) + small(b);
}

/* A switch of calls of different depth. */
KEEP uint32_t chooses(uint32_t n)
{
    switch (n) {
    case 0:
        return small(1);
    case 1:
        return large(2);
    case 2:
        return divides(n * 77777777777ull, n);
    case 3:
        return small(n) * 3u;
    case 4:
        return small(n) + 9u;
    case 5:
        return large(n) ^ 5u;
    default:
        return 7;
    }
}

KEEP uint32_t tail(uint32_t a)
{
    sink = a;
    return small(a + 1u);
}

uint32_t entry(uint32_t n);
uint32_t entry(uint32_t n)
{
    const uint32_t a = chooses(n);
    return tail(a) + a;
}

/* ---- what has no bound, or none that the code shows */

KEEP uint32_t recurses(uint32_t n)
{
    return n < 2u ? n : recurses(n - 1u) + recurses(n - 2u) + sink;
}

typedef uint32_t (*function)(uint32_t);
volatile function pointed = small;

KEEP uint32_t points(uint32_t n)
{
    return pointed(n) + 1u;
}
