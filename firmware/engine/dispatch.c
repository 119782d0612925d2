/* From a record's kind to its kernel. Direct calls, so that the worst stack depth can be read off the machine code. */
#include "kernels/kernels.h"

/* What only a program for several nodes has. */
static hil_status check_networked(const hil_limits *limits, const hil_record *record, hil_extent *extent)
{
    const uint32_t bytes = record->words * 4u;
    const void *r = record;
    switch (record->kind) {
    case HIL_OP_TRANSFER:
        return bytes == sizeof(hil_transfer) ? hil_check_transfer(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_CONV_PARTIAL:
        return bytes == sizeof(hil_conv_partial) ? hil_check_conv_partial(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_FINISH:
        return bytes == sizeof(hil_finish_sums) ? hil_check_finish(limits, r, extent) : HIL_BAD_RECORD;
    default:
        return HIL_BAD_KIND;
    }
}

hil_status hil_check_kernel(const hil_limits *limits, const hil_record *record, hil_extent *extent)
{
    const uint32_t bytes = record->words * 4u;
    const void *r = record;
    switch (record->kind) {
    case HIL_OP_CONV:
        return bytes == sizeof(hil_conv) ? hil_check_conv(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_DEPTHWISE:
        return bytes == sizeof(hil_depthwise) ? hil_check_depthwise(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_POOL_AVERAGE:
    case HIL_OP_POOL_MAX:
        return bytes == sizeof(hil_pool) ? hil_check_pool(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_ADD:
        return bytes == sizeof(hil_sum) ? hil_check_add(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_MUL:
        return bytes == sizeof(hil_mul) ? hil_check_mul(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_MEAN:
        return bytes == sizeof(hil_mean) ? hil_check_mean(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_LOOKUP:
        return bytes == sizeof(hil_lookup) ? hil_check_lookup(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_COPY:
        return bytes == sizeof(hil_copy) ? hil_check_copy(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_FILL:
        return bytes == sizeof(hil_fill) ? hil_check_fill(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_LOOKUP_WORD:
        return bytes == sizeof(hil_lookup_word) ? hil_check_lookup_word(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_QUANTISE:
        return bytes == sizeof(hil_quantise) ? hil_check_quantise(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_SOFTMAX:
        return bytes == sizeof(hil_softmax) ? hil_check_softmax(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_LOG_SOFTMAX:
        return bytes == sizeof(hil_log_softmax) ? hil_check_log_softmax(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_SOFTMAX_FLOAT:
        return bytes == sizeof(hil_softmax_float) ? hil_check_softmax_float(limits, r, extent) : HIL_BAD_RECORD;
    case HIL_OP_LOG_SOFTMAX_FLOAT:
        return bytes == sizeof(hil_log_softmax_float) ? hil_check_log_softmax_float(limits, r, extent)
                                                      : HIL_BAD_RECORD;
    default:
        return HIL_NODES > 1u ? check_networked(limits, record, extent) : HIL_BAD_KIND;
    }
}

static void run_networked(const hil_memory *memory, const hil_record *record, const hil_box *box)
{
    const void *r = record;
    if (record->kind == HIL_OP_CONV_PARTIAL) {
        hil_run_conv_partial(memory, r, box);
    } else if (record->kind == HIL_OP_FINISH) { /* any other is refused at load */
        hil_run_finish(memory, r, box);
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
    case HIL_OP_POOL_AVERAGE:
        hil_run_pool_average(memory, r, box);
        break;
    case HIL_OP_POOL_MAX:
        hil_run_pool_max(memory, r, box);
        break;
    case HIL_OP_ADD:
        hil_run_add(memory, r, box);
        break;
    case HIL_OP_MUL:
        hil_run_mul(memory, r, box);
        break;
    case HIL_OP_MEAN:
        hil_run_mean(memory, r, box);
        break;
    case HIL_OP_LOOKUP:
        hil_run_lookup(memory, r, box);
        break;
    case HIL_OP_COPY:
        hil_run_copy(memory, r, box);
        break;
    case HIL_OP_FILL:
        hil_run_fill(memory, r, box);
        break;
    case HIL_OP_LOOKUP_WORD:
        hil_run_lookup_word(memory, r, box);
        break;
    case HIL_OP_QUANTISE:
        hil_run_quantise(memory, r, box);
        break;
    case HIL_OP_SOFTMAX:
        hil_run_softmax(memory, r, box);
        break;
    case HIL_OP_LOG_SOFTMAX:
        hil_run_log_softmax(memory, r, box);
        break;
    case HIL_OP_SOFTMAX_FLOAT:
        hil_run_softmax_float(memory, r, box);
        break;
    case HIL_OP_LOG_SOFTMAX_FLOAT:
        hil_run_log_softmax_float(memory, r, box);
        break;
    default:
        if (HIL_NODES > 1u) {
            run_networked(memory, record, box);
        }
        break;
    }
}
