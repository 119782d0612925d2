/* Inner products of int8 values, modulo 2^32: functions of their own so that all of their values stay in the eight
 * registers that Cortex-M0+ can load into; they count an index up to zero, which needs no comparison. */
#ifndef HIL_DOT_H
#define HIL_DOT_H

#include <stdint.h>

/* Adds x . w0 and x . w1 over `length` (at least 1) values to the sums; each x is loaded once for both. */
void hil_dot_two(const int8_t *x, const int8_t *w0, const int8_t *w1, int32_t length, uint32_t sums[2]);

#endif
