/* What a kernel sees. A kernel is one file with two functions: `hil_check_X`, called once at load, which refuses
 * values that contradict each other or reach outside their memory; and `hil_run_X`, which then need not look again. */
#ifndef HIL_KERNEL_H
#define HIL_KERNEL_H

#include "hil_program.h"

/* Where references point. */
typedef struct {
    const uint8_t *program;
    uint8_t *arena;
} hil_memory;

/* What references may reach. */
typedef struct {
    uint32_t program_size;
    uint32_t arena_size;
} hil_limits;

/* The largest box that a record allows; `whole_channels`: a box must take all channels. */
typedef struct {
    uint32_t rows, channels;
    bool whole_channels;
} hil_extent;

/* True if `bytes` at `ref` are inside their memory and aligned to `align` (1 or 4). */
bool hil_readable(const hil_limits *limits, hil_ref ref, uint64_t bytes, uint32_t align);
/* The same, and in the arena. */
bool hil_writable(const hil_limits *limits, hil_ref ref, uint64_t bytes, uint32_t align);

/* True if all of `count` values lie in 1..2^28, and so does their product. */
bool hil_sizes(const int32_t *values, uint32_t count, uint64_t *product);

static inline const uint8_t *hil_at(const hil_memory *memory, hil_ref ref)
{
    return (ref & HIL_REF_CONST) != 0u ? memory->program + (ref & ~HIL_REF_CONST) : memory->arena + ref;
}

static inline uint8_t *hil_into(const hil_memory *memory, hil_ref ref)
{
    return memory->arena + ref;
}

#endif
