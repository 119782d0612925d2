/* Checks a program once, completely. After this nothing is checked again. */
#include "kernel.h"
#include "kernels/kernels.h"

_Static_assert(HIL_NODES >= 1u && HIL_NODES <= HIL_MAX_NODES, "masks of nodes have a bit for each");

static bool table_inside(const hil_header *header, uint32_t at, uint32_t count, uint32_t item)
{
    return (at & 3u) == 0u && at >= sizeof *header && at <= header->size &&
           (uint64_t)count * item <= (uint64_t)(header->size - at);
}

bool hil_readable(const hil_limits *limits, hil_ref ref, uint64_t bytes, uint32_t align)
{
    const uint32_t offset = ref & ~HIL_REF_CONST;
    const uint32_t room = (ref & HIL_REF_CONST) != 0u ? limits->program_size : limits->arena_size;
    return (offset & (align - 1u)) == 0u && offset <= room && bytes <= (uint64_t)(room - offset);
}

bool hil_writable(const hil_limits *limits, hil_ref ref, uint64_t bytes, uint32_t align)
{
    return (ref & HIL_REF_CONST) == 0u && hil_readable(limits, ref, bytes, align);
}

bool hil_sizes(const int32_t *values, uint32_t count, uint64_t *product)
{
    const uint64_t most = (uint64_t)1 << 28;
    uint64_t all = 1;
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] < 1 || (uint64_t)values[i] > most) {
            return false;
        }
        all *= (uint64_t)values[i];
        if (all > most) {
            return false;
        }
    }
    *product = all;
    return true;
}

static hil_status check_header(const hil_header *header, uint32_t room, uint32_t arena_room, uint32_t cores)
{
    if (room < sizeof *header || header->magic != HIL_PROGRAM_MAGIC) {
        return HIL_BAD_MAGIC;
    }
    if (header->version != HIL_PROGRAM_VERSION) {
        return HIL_BAD_VERSION;
    }
    if (header->size < sizeof *header || header->size > room || (header->size & 3u) != 0u) {
        return HIL_BAD_SIZE;
    }
    const uint8_t *bytes = (const uint8_t *)header;
    if (hil_crc32(0, bytes + HIL_PROGRAM_CRC_FROM, header->size - HIL_PROGRAM_CRC_FROM) != header->crc) {
        return HIL_BAD_CRC;
    }
    if (!table_inside(header, header->operators_at, header->operators, 4u) ||
        !table_inside(header, header->steps_at, header->steps, sizeof(hil_step)) ||
        !table_inside(header, header->inputs_at, header->inputs, sizeof(hil_span)) ||
        !table_inside(header, header->outputs_at, header->outputs, sizeof(hil_span))) {
        return HIL_BAD_TABLE;
    }
    if (header->arena_size > arena_room) {
        return HIL_NO_ARENA;
    }
    const uint32_t nodes = header->place >> 8;
    if (nodes > HIL_NODES || (header->place & 0xffu) >= nodes) {
        return HIL_NO_NODES;
    }
    return header->cores == 0u || header->cores > cores || header->cores > HIL_MAX_CORES ? HIL_NO_CORES : HIL_OK;
}

static hil_status check_spans(const hil_header *header, uint32_t at, uint32_t count)
{
    const hil_span *span = (const hil_span *)((const uint8_t *)header + at);
    for (uint32_t i = 0; i < count; i++) {
        if (span[i].offset > header->arena_size || span[i].bytes > header->arena_size - span[i].offset) {
            return HIL_BAD_TABLE;
        }
    }
    return HIL_OK;
}

static const hil_record *record_of(const hil_header *header, uint32_t index)
{
    const uint8_t *bytes = (const uint8_t *)header;
    return (const hil_record *)(bytes + ((const uint32_t *)(bytes + header->operators_at))[index]);
}

static hil_status check_record(const hil_header *header, uint32_t index, hil_extent *extent)
{
    const uint32_t at = ((const uint32_t *)((const uint8_t *)header + header->operators_at))[index];
    if (!table_inside(header, at, 1u, sizeof(hil_record))) {
        return HIL_BAD_TABLE;
    }
    const hil_record *record = record_of(header, index);
    if (!table_inside(header, at, record->words, 4u)) {
        return HIL_BAD_TABLE;
    }
    const hil_limits limits = {header->size, header->arena_size};
    return hil_check_kernel(&limits, record, extent);
}

static bool box_inside(const hil_box *box, const hil_extent *extent)
{
    return box->r0 < box->r1 && box->r1 <= extent->rows && box->c0 < box->c1 && box->c1 <= extent->channels &&
           (!extent->whole_channels || (box->c0 == 0u && box->c1 == extent->channels));
}

/* Whether a SEND or RECEIVE moves runs that there are between this node and others that there are. */
static bool move_good(const hil_header *header, const hil_step *step)
{
    const uint32_t node = header->place & 0xffu;
    const uint32_t nodes = header->place >> 8;
    const uint32_t peers = step->box.c1;
    if (step->core != 0u || step->operator_index >= header->operators ||
        record_of(header, step->operator_index)->kind != HIL_OP_TRANSFER) {
        return false;
    }
    /* Checked with all other records, before any step. */
    const hil_transfer *transfer = (const hil_transfer *)(const void *)record_of(header, step->operator_index);
    const uint32_t r0 = step->box.r0, r1 = step->box.r1;
    return r0 < r1 && r1 <= (uint32_t)transfer->runs && r1 - r0 <= (uint32_t)transfer->ring && peers != 0u &&
           peers >> nodes == 0u && (peers >> node & 1u) == 0u &&
           (step->kind == HIL_STEP_SEND || (peers & (peers - 1u)) == 0u);
}

static bool step_good(const hil_header *header, const hil_step *step)
{
    const hil_box *box = &step->box;
    if (step->kind == HIL_STEP_BARRIER) {
        return (step->core | step->operator_index | box->r0 | box->r1 | box->c0 | box->c1) == 0u;
    }
    if (HIL_NODES > 1u && hil_step_moves(step)) {
        return move_good(header, step);
    }
    hil_extent extent = {0, 0, false};
    return step->kind == HIL_STEP_BOX && step->core < header->cores && step->operator_index < header->operators &&
           check_record(header, step->operator_index, &extent) == HIL_OK && box_inside(box, &extent);
}

/* Whether messages are numbered in order, exchanges are not too long, and the trace has room for all of them. */
static hil_status check_exchanges(hil_engine *engine, const hil_header *header, const hil_step *steps)
{
    uint64_t next = 0; /* the least number that the next message may have */
    uint32_t exchanges = 0;
    uint32_t length = 0; /* of the exchange so far */
    for (uint32_t i = 0; i < header->steps; i++) {
        if (!hil_step_moves(&steps[i])) {
            length = 0;
            continue;
        }
        engine->mates[0].step = i;
        exchanges += length == 0u ? 1u : 0u;
        length++;
        if (length > HIL_MAX_EXCHANGE || steps[i].box.c0 < next) {
            return HIL_BAD_STEP;
        }
        next = (uint64_t)steps[i].box.c0 + 1u;
    }
    const uint32_t at = header->trace_at;
    return at == HIL_NO_TRACE || (header->place >> 8 > 1u && (at & 3u) == 0u &&
                                  at + (uint64_t)exchanges * HIL_TRACE_BYTES <= header->arena_size)
               ? HIL_OK
               : HIL_BAD_TABLE;
}

static hil_status check_body(hil_engine *engine, const hil_header *header)
{
    hil_status status = check_spans(header, header->inputs_at, header->inputs);
    if (status == HIL_OK) {
        status = check_spans(header, header->outputs_at, header->outputs);
    }
    hil_extent extent = {0, 0, false};
    for (uint32_t i = 0; status == HIL_OK && i < header->operators; i++) {
        engine->mates[0].step = i;
        status = check_record(header, i, &extent);
    }
    const hil_step *steps = (const hil_step *)(const void *)((const uint8_t *)header + header->steps_at);
    for (uint32_t i = 0; status == HIL_OK && i < header->steps; i++) {
        engine->mates[0].step = i;
        status = step_good(header, &steps[i]) ? HIL_OK : HIL_BAD_STEP;
    }
    if (status == HIL_OK && HIL_NODES > 1u) {
        status = check_exchanges(engine, header, steps);
    }
    return status;
}

hil_status hil_engine_load(hil_engine *engine, const uint8_t *program, uint32_t room, uint8_t *arena,
                           uint32_t arena_room, uint32_t cores)
{
    engine->loaded = false;
    engine->cores = 1;
    for (uint32_t core = 0; core < HIL_MAX_CORES; core++) {
        engine->mates[core].met = 0;
        engine->mates[core].step = 0;
    }
    if (((uintptr_t)program & 3u) != 0u || ((uintptr_t)arena & 3u) != 0u) {
        return HIL_BAD_ARGUMENT;
    }
    const hil_header *header = (const hil_header *)(const void *)program;
    hil_status status = check_header(header, room, arena_room, cores);
    if (status == HIL_OK) {
        status = check_body(engine, header);
    }
    if (status != HIL_OK) {
        return status;
    }
    engine->program = program;
    engine->arena = arena;
    engine->size = header->size;
    engine->arena_size = header->arena_size;
    engine->crc = header->crc;
    engine->steps = header->steps;
    engine->inputs = header->inputs;
    engine->outputs = header->outputs;
    engine->cores = header->cores;
    engine->node = header->place & 0xffu;
    engine->nodes = header->place >> 8;
    engine->mates[0].step = 0;
    engine->loaded = true;
    return HIL_OK;
}
