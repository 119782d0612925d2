/* Records and functions of all kernels. Field by field as in hil/plan/kernels. */
#ifndef HIL_KERNELS_H
#define HIL_KERNELS_H

#include "kernel.h"

typedef struct {
    hil_record head;
    hil_ref in, out, table;
    int32_t rows, channels;
} hil_lookup;

hil_status hil_check_lookup(const hil_limits *limits, const hil_lookup *record, hil_extent *extent);
void hil_run_lookup(const hil_memory *memory, const hil_lookup *record, const hil_box *box);

/* By kind. */
hil_status hil_check_kernel(const hil_limits *limits, const hil_record *record, hil_extent *extent);
void hil_run_kernel(const hil_memory *memory, const hil_record *record, const hil_box *box);

#endif
