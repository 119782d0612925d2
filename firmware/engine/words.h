/* Words of memory that other code sees as bytes. */
#ifndef HIL_WORDS_H
#define HIL_WORDS_H

#include <stdint.h>

typedef uint32_t __attribute__((may_alias)) hil_word;
typedef float __attribute__((may_alias)) hil_float;

static inline const hil_word *hil_words(const uint8_t *bytes)
{
    return (const hil_word *)(const void *)bytes;
}

#endif
