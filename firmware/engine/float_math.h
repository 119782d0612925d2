/* exp and log of float32 in integer arithmetic: the error is below 0.52 units in the last place. */
#ifndef HIL_FLOAT_MATH_H
#define HIL_FLOAT_MATH_H

#include <stdint.h>

/* exp(x) for x that is 0, negative, or NaN (which stays what it is); down to the smallest subnormal number. */
float hil_exp_of_negative(float x);

/* log(x) for x from 1 to infinity; a NaN or infinity stays what it is, and below 1 the result is negative infinity. */
float hil_log_of_one_or_more(float x);

#endif
