/* Walks over a tensor whose rows lie anywhere: dimensions and strides in elements, outermost first. */
#ifndef HIL_WALK_H
#define HIL_WALK_H

#include "hil_program.h"

#include <stdbool.h>
#include <stdint.h>

/* Adds to `last` the offset of the element with the largest index; false for a dimension below 1 or above 2^28, or a
 * negative stride. */
bool hil_reach(const int32_t *dims, const int32_t *strides, uint32_t count, uint64_t *last);

/* Offset of row `index` (row-major over HIL_RANK dimensions). */
uint32_t hil_row_offset(const int32_t *dims, const int32_t *strides, uint32_t index);

#endif
