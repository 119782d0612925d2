/* From a record's kind to its kernel. Direct calls, so that the worst stack depth can be read off the machine code. */
#include "kernels/kernels.h"

hil_status hil_check_kernel(const hil_limits *limits, const hil_record *record, hil_extent *extent)
{
    const uint32_t bytes = record->words * 4u;
    const void *r = record;
    switch (record->kind) {
    case HIL_OP_CONV:
        return bytes == sizeof(hil_conv) ? hil_check_conv(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_DEPTHWISE:
        return bytes == sizeof(hil_depthwise) ? hil_check_depthwise(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_LOOKUP:
        return bytes == sizeof(hil_lookup) ? hil_check_lookup(limits, r, extent) : HIL_BAD_RECORD;
    default:
        return HIL_BAD_KIND;
    }
}

void hil_run_kernel(const hil_memory *memory, const hil_record *record, const hil_box *box)
{
    const void *r = record;
    switch (record->kind) {
    case HIL_OP_CONV:
        hil_run_conv(memory, r, box);
        break;
    case HIL_OP_DEPTHWISE:
        hil_run_depthwise(memory, r, box);
        break;
    case HIL_OP_LOOKUP:
        hil_run_lookup(memory, r, box);
        break;
    default: /* refused at load */
        break;
    }
}
