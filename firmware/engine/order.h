/* Words that two cores share: one writes, the others read. Works on weakly ordered cores.
 *
 * ARMv6-M has neither exclusive accesses nor compilers that inline its atomic loads and stores; an aligned word is
 * loaded and stored in one piece there (ARMv6-M manual, A3.5.3), so a volatile access and a fence say the same. */
#ifndef HIL_ORDER_H
#define HIL_ORDER_H

#include <stdint.h>

/* What follows this load, in the program, also happens after it: it sees all that was written before the matching
 * release. */
static inline uint32_t hil_load_acquire(const uint32_t *at)
{
#if __GCC_ATOMIC_INT_LOCK_FREE == 2
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
#else
    const uint32_t value = *(const volatile uint32_t *)at;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return value;
#endif
}

/* All loads and stores before this store, in the program, are done before others can see it. */
static inline void hil_store_release(uint32_t *at, uint32_t value)
{
#if __GCC_ATOMIC_INT_LOCK_FREE == 2
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
#else
    __atomic_thread_fence(__ATOMIC_RELEASE);
    *(volatile uint32_t *)at = value;
#endif
}

/* Stores before it are visible to all before loads behind it are done: the one order that acquire and release do not
 * give. */
static inline void hil_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
