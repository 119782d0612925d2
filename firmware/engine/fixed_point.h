/* gemmlowp's fixed-point functions, as TFLite's integer softmaxes use them. Qm is a number with m integer bits in an
 * int32: real = raw / 2^(31 - m). Arithmetic wraps, so that no value does harm. */
#ifndef HIL_FIXED_POINT_H
#define HIL_FIXED_POINT_H

#include <stdint.h>

/* 1 / (1 + x) for x from 0 to 1, Q0 to Q0. */
int32_t hil_reciprocal_of_one_plus(int32_t x);

/* The logarithm of a Q12 number from 2^19 (1.0) to 2^31 - 1, in Q5. */
int32_t hil_log_of_at_least_one(int32_t x);

/* Zero bits above the highest one; 32 for 0. */
uint32_t hil_leading_zeros(uint32_t x);

#endif
