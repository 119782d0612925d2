#include "walk.h"

bool hil_reach(const int32_t *dims, const int32_t *strides, uint32_t count, uint64_t *last)
{
    for (uint32_t i = 0; i < count; i++) {
        if (dims[i] < 1 || dims[i] > 1 << 28 || strides[i] < 0) {
            return false;
        }
        *last += (uint64_t)(dims[i] - 1) * (uint64_t)strides[i];
    }
    return true;
}

uint32_t hil_row_offset(const int32_t *dims, const int32_t *strides, uint32_t index)
{
    uint32_t offset = 0;
    for (uint32_t i = HIL_RANK; i > 0u && index > 0u; i--) {
        const uint32_t size = (uint32_t)dims[i - 1u];
        const uint32_t outer = index < size ? 0u : index / size; /* mostly no division, which is slow here */
        offset += (index - outer * size) * (uint32_t)strides[i - 1u];
        index = outer;
    }
    return offset;
}
