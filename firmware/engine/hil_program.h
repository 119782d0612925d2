/* The program: what the host wrote down and the engine interprets. hil/plan/program.py writes the same layout.
 * All values are little-endian 32-bit words; the program is 4-byte aligned. */
#ifndef HIL_PROGRAM_H
#define HIL_PROGRAM_H

#include "hil_engine.h"

#define HIL_PROGRAM_MAGIC 0x504c4948u /* "HILP" */
#define HIL_PROGRAM_VERSION 2u
#define HIL_PROGRAM_CRC_FROM 16u /* the CRC covers everything from this offset */
#define HIL_RANK 6               /* dimensions of the general kernels */
#define HIL_NO_TRACE 0xffffffffu
#define HIL_TRACE_BYTES 12u  /* what each exchange writes into the trace: three words */
#define HIL_MAX_EXCHANGE 48u /* SENDs and RECEIVEs of one exchange */

/* A reference to bytes: an offset in the arena, or, with the top bit set, a constant in the program. */
typedef uint32_t hil_ref;
#define HIL_REF_CONST 0x80000000u

typedef struct {
    uint32_t magic;
    uint32_t version;
    uint32_t size;
    uint32_t crc;
    uint32_t arena_size;
    uint32_t operators, operators_at; /* count; offset of a table of record offsets */
    uint32_t steps, steps_at;         /* hil_step[] */
    uint32_t inputs, inputs_at;       /* hil_span[] */
    uint32_t outputs, outputs_at;     /* hil_span[] */
    uint32_t cores;
    uint32_t place;    /* which node of how many: node | nodes << 8 */
    uint32_t trace_at; /* offset in the arena of the exchanges' times, or HIL_NO_TRACE */
} hil_header;

/* A barrier is of all cores: they wait for each other there. Its other words are zero.
 *
 * SEND and RECEIVE are of core 0. Their operator is a TRANSFER, and of their box r0 and r1 are its runs [r0, r1), c0 is
 * the number of the message, which rises from step to step, and c1 a bit mask of peers: the receivers of a SEND, the
 * one sender of a RECEIVE. A run of neighbouring SENDs and RECEIVEs is an exchange: all of them proceed together. */
enum { HIL_STEP_BOX = 1, HIL_STEP_BARRIER = 2, HIL_STEP_SEND = 3, HIL_STEP_RECEIVE = 4 };

/* A box of an operator's output: rows [r0, r1) by channels [c0, c1). */
typedef struct {
    uint32_t r0, r1, c0, c1;
} hil_box;

typedef struct {
    uint16_t kind; /* HIL_STEP_* */
    uint16_t core;
    uint32_t operator_index;
    hil_box box;
} hil_step;

/* Every record starts with this word pair. */
typedef struct {
    uint32_t kind;  /* HIL_OP_* */
    uint32_t words; /* of the whole record, these two included */
} hil_record;

enum {
    HIL_OP_CONV = 1,
    HIL_OP_DEPTHWISE = 2,
    HIL_OP_POOL_AVERAGE = 3,
    HIL_OP_POOL_MAX = 4,
    HIL_OP_ADD = 5,
    HIL_OP_MUL = 6,
    HIL_OP_MEAN = 7,
    HIL_OP_COPY = 8,
    HIL_OP_FILL = 9,
    HIL_OP_LOOKUP = 10,
    HIL_OP_LOOKUP_WORD = 11,
    HIL_OP_QUANTISE = 12,
    HIL_OP_SOFTMAX = 13,
    HIL_OP_LOG_SOFTMAX = 14,
    HIL_OP_SOFTMAX_FLOAT = 15,
    HIL_OP_LOG_SOFTMAX_FLOAT = 16,
    HIL_OP_TRANSFER = 17,
    HIL_OP_CONV_PARTIAL = 18,
    HIL_OP_FINISH = 19
};

static inline bool hil_step_moves(const hil_step *step)
{
    return step->kind == HIL_STEP_SEND || step->kind == HIL_STEP_RECEIVE;
}

#endif
