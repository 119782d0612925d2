/* The functions that compilers call on their own. Words where both ends are aligned: a Cortex-M0+ traps otherwise. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *left, const void *right, size_t bytes);

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if ((((uintptr_t)t | (uintptr_t)f) & 3u) == 0u) {
        for (; bytes >= 16u; bytes -= 16u, t += 16, f += 16) {
            uint32_t *tw = (uint32_t *)(void *)t;
            const uint32_t *fw = (const uint32_t *)(const void *)f;
            const uint32_t a = fw[0];
            const uint32_t b = fw[1];
            const uint32_t c = fw[2];
            const uint32_t d = fw[3];
            tw[0] = a;
            tw[1] = b;
            tw[2] = c;
            tw[3] = d;
        }
    }
    for (; bytes > 0u; bytes--) {
        *t++ = *f++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if ((uintptr_t)t - (uintptr_t)f >= bytes) {
        return memcpy(to, from, bytes);
    }
    while (bytes > 0u) {
        bytes--;
        t[bytes] = f[bytes];
    }
    return to;
}

void *memset(void *to, int value, size_t bytes)
{
    uint8_t *t = to;
    const uint8_t byte = (uint8_t)value;
    for (; bytes > 0u && ((uintptr_t)t & 3u) != 0u; bytes--) {
        *t++ = byte;
    }
    const uint32_t word = byte * 0x01010101u;
    for (; bytes >= 16u; bytes -= 16u, t += 16) {
        uint32_t *w = (uint32_t *)(void *)t;
        w[0] = word;
        w[1] = word;
        w[2] = word;
        w[3] = word;
    }
    for (; bytes > 0u; bytes--) {
        *t++ = byte;
    }
    return to;
}

int memcmp(const void *left, const void *right, size_t bytes)
{
    const uint8_t *l = left;
    const uint8_t *r = right;
    for (size_t i = 0; i < bytes; i++) {
        if (l[i] != r[i]) {
            return (int)l[i] - (int)r[i];
        }
    }
    return 0;
}
