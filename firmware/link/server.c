#include "server.h"

#include "hil_program.h"
#include "net.h"

typedef struct {
    uint8_t status;
    uint32_t bytes;
} reply;

static const reply done = {HIL_LINK_OK, 0};

static reply refuse(uint8_t status)
{
    const reply refused = {status, 0};
    return refused;
}

static reply answered(uint32_t bytes)
{
    const reply full = {HIL_LINK_OK, bytes};
    return full;
}

static void put64(uint8_t *to, uint64_t value)
{
    hil_put32(to, (uint32_t)value);
    hil_put32(to + 4, (uint32_t)(value >> 32));
}

static void copy(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        to[i] = from[i];
    }
}

/* True if `bytes` at `offset` lie in the part of the arena that the program uses. */
static bool in_arena(const hil_server *server, uint32_t offset, uint32_t bytes)
{
    return offset <= server->engine.arena_size && bytes <= server->engine.arena_size - offset;
}

static reply on_hello(hil_server *server, uint8_t *out)
{
    const hil_engine *engine = &server->engine;
    const bool loaded = engine->loaded;
    const uint32_t words[] = {HIL_LINK_VERSION,
                              HIL_LINK_MTU,
                              hil_port_clock_hz(),
                              hil_port_tick_mask(),
                              hil_port_cores(),
                              (uint32_t)server->load_status,
                              engine->mates[0].step,
                              loaded ? engine->size : 0u,
                              loaded ? engine->crc : 0u,
                              loaded ? engine->arena_size : 0u,
                              server->layout.arena_bytes,
                              loaded ? engine->steps : 0u,
                              loaded ? engine->inputs : 0u,
                              loaded ? engine->outputs : 0u,
                              loaded ? engine->cores : 0u};
    uint32_t at = 0;
    for (uint32_t i = 0; i < sizeof words / sizeof words[0]; i++, at += 4u) {
        hil_put32(out + at, words[i]);
    }
    copy(out + at, hil_build_id, sizeof hil_build_id);
    at += (uint32_t)sizeof hil_build_id;
    const char *name = hil_port_board();
    for (uint32_t i = 0; i < 32u; i++, at++) {
        out[at] = (uint8_t)*name;
        name += *name != '\0';
    }
    return answered(at);
}

static reply on_tensors(hil_server *server, const hil_frame *request, uint8_t *out)
{
    const uint32_t which = hil_get32(request->payload);
    const uint32_t first = hil_get32(request->payload + 4);
    const uint32_t total = which == 0u ? server->engine.inputs : server->engine.outputs;
    if (which > 1u || first > total) {
        return refuse(HIL_LINK_RANGE);
    }
    const uint32_t fit = (HIL_LINK_MTU - 4u) / 8u;
    const uint32_t count = total - first < fit ? total - first : fit;
    hil_put32(out, total);
    for (uint32_t i = 0; i < count; i++) {
        hil_span span = {0, 0};
        const hil_status status = which == 0u ? hil_engine_input(&server->engine, first + i, &span)
                                              : hil_engine_output(&server->engine, first + i, &span);
        if (status != HIL_OK) {
            return refuse(HIL_LINK_RANGE);
        }
        hil_put32(out + 4u + 8u * i, span.offset);
        hil_put32(out + 8u + 8u * i, span.bytes);
    }
    return answered(4u + 8u * count);
}

static reply on_write(hil_server *server, const hil_frame *request)
{
    const uint32_t offset = hil_get32(request->payload);
    const uint32_t bytes = request->bytes - 4u;
    if (!in_arena(server, offset, bytes)) {
        return refuse(HIL_LINK_RANGE);
    }
    copy(server->layout.arena + offset, request->payload + 4, bytes);
    return done;
}

static reply on_read(hil_server *server, const hil_frame *request, uint8_t *out)
{
    const uint32_t offset = hil_get32(request->payload);
    const uint32_t bytes = hil_get32(request->payload + 4);
    if (bytes > HIL_LINK_MTU || !in_arena(server, offset, bytes)) {
        return refuse(HIL_LINK_RANGE);
    }
    copy(out, server->layout.arena + offset, bytes);
    return answered(bytes);
}

static reply on_paint(hil_server *server, const hil_frame *request)
{
    const uint32_t byte = hil_get32(request->payload);
    if (byte > 255u) {
        return refuse(HIL_LINK_RANGE);
    }
    for (uint32_t i = 0; i < server->layout.arena_bytes; i++) {
        server->layout.arena[i] = (uint8_t)byte;
    }
    server->paint = byte;
    server->painting = true;
    hil_engine_meet(&server->engine, 0);
    hil_port_paint_stack(0);
    hil_engine_meet(&server->engine, 0);
    server->painting = false;
    return done;
}

static reply on_run(hil_server *server, const hil_frame *request)
{
    const uint32_t first = hil_get32(request->payload + 4);
    const uint32_t count = hil_get32(request->payload + 8);
    const uint32_t alone = hil_get32(request->payload + 16);
    const uint32_t repeat = hil_get32(request->payload + 20);
    if (first > server->engine.steps || count > server->engine.steps - first || alone > server->engine.cores ||
        repeat == 0u || repeat > HIL_LINK_REPEAT) {
        return refuse(HIL_LINK_RANGE);
    }
    server->first = first;
    server->count = count;
    server->jitter = hil_get32(request->payload + 12);
    server->alone = alone;
    server->repeat = repeat;
    if (HIL_NODES > 1u) {
        server->patience_us = hil_get32(request->payload + 24);
        server->retry_us = hil_get32(request->payload + 28);
    }
    server->result.state = HIL_RUNNING;
    server->result.run = hil_get32(request->payload);
    return done;
}

static uint32_t put_result(const hil_result *result, uint8_t *out)
{
    hil_put32(out, result->state);
    hil_put32(out + 4, result->run);
    hil_put32(out + 8, result->status);
    hil_put32(out + 12, result->step);
    put64(out + 16, result->us);
    put64(out + 24, result->cycles);
    hil_put32(out + 32, result->peer);
    return 36;
}

static reply on_memory(hil_server *server, uint8_t *out)
{
    uint32_t high = server->layout.arena_bytes;
    while (high > 0u && server->layout.arena[high - 1u] == server->paint) {
        high--;
    }
    const uint32_t cores = hil_port_cores();
    hil_put32(out, server->layout.static_bytes);
    hil_put32(out + 4, high);
    hil_put32(out + 8, server->paint);
    for (uint32_t core = 0; core < cores; core++) {
        hil_stack stack;
        hil_port_stack(core, &stack);
        uint32_t free = 0;
        while (free < stack.bytes && stack.low[free] == HIL_STACK_PAINT) {
            free++;
        }
        hil_put32(out + 12u + 8u * core, stack.bytes);
        hil_put32(out + 16u + 8u * core, stack.bytes - free);
    }
    return answered(12u + 8u * cores);
}

static reply on_time(uint8_t *out)
{
    put64(out, hil_port_us());
    hil_put32(out + 8, hil_port_ticks());
    return answered(12);
}

/* The bytes that a request's payload must have: at least, and at most. */
static bool length_fits(const hil_frame *request)
{
    switch (request->kind) {
    case HIL_TENSORS:
    case HIL_READ:
        return request->bytes == 8u;
    case HIL_WRITE:
        return request->bytes >= 4u;
    case HIL_PAINT:
        return request->bytes == 4u;
    case HIL_RUN:
        return request->bytes == 32u;
    case HIL_ECHO:
        return true;
    default:
        return request->bytes == 0u;
    }
}

static bool needs_program(uint8_t kind)
{
    return kind == HIL_TENSORS || kind == HIL_WRITE || kind == HIL_READ || kind == HIL_RUN;
}

static reply dispatch(hil_server *server, const hil_frame *request, uint8_t *out)
{
    if (request->kind < HIL_HELLO || request->kind > HIL_ECHO) {
        return refuse(HIL_LINK_UNKNOWN);
    }
    if (!length_fits(request)) {
        return refuse(HIL_LINK_LENGTH);
    }
    if (needs_program(request->kind) && !server->engine.loaded) {
        return refuse(HIL_LINK_NO_PROGRAM);
    }
    switch (request->kind) {
    case HIL_HELLO:
        return on_hello(server, out);
    case HIL_TENSORS:
        return on_tensors(server, request, out);
    case HIL_WRITE:
        return on_write(server, request);
    case HIL_READ:
        return on_read(server, request, out);
    case HIL_PAINT:
        return on_paint(server, request);
    case HIL_RUN:
        return on_run(server, request);
    case HIL_STATUS:
        return answered(put_result(&server->result, out));
    case HIL_MEMORY:
        return on_memory(server, out);
    case HIL_TIME:
        return on_time(out);
    default:
        copy(out, request->payload, request->bytes);
        return answered(request->bytes);
    }
}

static void send_answer(hil_server *server)
{
    hil_send(server->answer, server->answer_kind, server->sequence, server->answer_status, server->answer_bytes);
}

/* Cycles between two readings of a counter that wraps: of all values that agree with the counter, the nearest to what
 * the microsecond timer says. Right as long as that is off by less than half a wrap: 67 ms for 24 bits at 125 MHz. */
static uint64_t whole_cycles(uint32_t ticks, uint64_t us)
{
    const uint64_t wrap = (uint64_t)hil_port_tick_mask() + 1u;
    const uint64_t low = ticks & hil_port_tick_mask();
    const uint64_t nearest = (us * hil_port_ticks_per_us_q16() >> 16) + wrap / 2u;
    return nearest < low ? low : low + ((nearest - low) & ~(wrap - 1u));
}

/* True if the steps of the run to do have messages among them. Node 0 always has something to say: START. */
static bool needs_peers(const hil_server *server)
{
    const hil_engine *engine = &server->engine;
    if (HIL_NODES == 1u || engine->nodes == 1u || server->alone != 0u) {
        return false;
    }
    if (engine->node == 0u) {
        return true;
    }
    const hil_header *header = (const hil_header *)(const void *)engine->program;
    const hil_step *steps = (const hil_step *)(const void *)(engine->program + header->steps_at);
    const uint32_t end = server->count == 0u ? engine->steps : server->first + server->count;
    for (uint32_t i = server->first; i < end; i++) {
        if (hil_step_moves(&steps[i])) {
            return true;
        }
    }
    return false;
}

static hil_status begin(const hil_server *server)
{
    const hil_net_job job = {server->result.run, server->repeat, server->patience_us, server->retry_us};
    return hil_net_begin(&job);
}

static void run(hil_server *server)
{
    hil_result *result = &server->result;
    const uint16_t sequence = server->sequence; /* STATUS is answered while a run waits */
    const bool together = needs_peers(server);
    hil_status status = HIL_NODES > 1u && together ? begin(server) : HIL_OK;
    const uint64_t started = hil_port_us();
    const uint32_t before = hil_port_ticks();
    for (uint32_t left = server->repeat; status == HIL_OK && left > 0u; left--) {
        status = hil_engine_run(&server->engine, server->first, server->count, server->jitter, server->alone);
        if (HIL_NODES > 1u && together && left > 1u) {
            hil_net_next();
        }
    }
    const uint32_t after = hil_port_ticks();
    result->us = hil_port_us() - started;
    result->cycles = whole_cycles(after - before, result->us);
    result->status = (uint32_t)status;
    result->step = server->engine.mates[0].step;
    result->peer = HIL_NO_PEER;
    result->state = HIL_FINISHED;
    if (HIL_NODES > 1u && together) {
        hil_net_end(status);
        result->peer = hil_net_peer();
    }
    hil_send(server->event, HIL_DONE, sequence, HIL_LINK_OK,
             put_result(result, server->event + HIL_LINK_HEADER));
}

/* An answer that is not worth keeping: the request was not done. */
static void send_bare(hil_server *server, const hil_frame *request, uint8_t status)
{
    hil_send(server->event, (uint8_t)(request->kind | HIL_ANSWER), request->sequence, status, 0);
}

/* Does a request, but for the run that it asks for. */
static void answer(hil_server *server, const hil_frame *request)
{
    if (request->version != HIL_LINK_VERSION) {
        send_bare(server, request, HIL_LINK_VERSION_DIFFERS);
        return;
    }
    if (request->kind == HIL_HELLO) {
        server->session = true;
        server->result.state = HIL_NEVER_RAN; /* runs are numbered anew in every session */
    } else if (!server->session) {
        send_bare(server, request, HIL_LINK_NO_SESSION);
        return;
    } else if (request->sequence == server->sequence) {
        /* The answer got lost. Never do the request again: it may have changed its own input. */
        if (server->answer_kind == (uint8_t)(request->kind | HIL_ANSWER)) {
            send_answer(server);
        }
        return;
    } else if ((uint16_t)(request->sequence - server->sequence) > 0x7fffu) {
        return; /* older than the last: a repeat that came late */
    }
    const reply made = dispatch(server, request, server->answer + HIL_LINK_HEADER);
    server->sequence = request->sequence;
    server->answer_kind = (uint8_t)(request->kind | HIL_ANSWER);
    server->answer_status = made.status;
    server->answer_bytes = made.bytes;
    send_answer(server);
}

void hil_server_byte(hil_server *server, uint8_t byte)
{
    hil_frame request;
    if (!hil_receive(&server->receiver, byte, &request)) {
        return;
    }
    answer(server, &request);
    while (server->result.state == HIL_RUNNING) {
        run(server);
        if (HIL_NODES > 1u && server->interrupted) {
            server->interrupted = false;
            answer(server, &server->request);
        }
    }
}

bool hil_net_console(void *user, uint8_t byte)
{
    hil_server *server = user;
    if (HIL_NODES == 1u || !hil_receive(&server->receiver, byte, &server->request)) {
        return false;
    }
    const hil_frame *request = &server->request;
    const bool repeated = request->kind == HIL_RUN && request->sequence == server->sequence;
    if (request->version == HIL_LINK_VERSION && (repeated || request->kind == HIL_STATUS)) {
        answer(server, request); /* that the run goes on */
        return false;
    }
    server->interrupted = true;
    return true;
}

void hil_server_idle(hil_server *server)
{
    if (HIL_NODES > 1u && server->engine.loaded && server->engine.nodes > 1u) {
        hil_net_idle();
    }
}

void hil_server_log(hil_server *server, const char *text)
{
    uint32_t bytes = 0;
    while (bytes < HIL_LINK_EVENT && text[bytes] != '\0') {
        server->event[HIL_LINK_HEADER + bytes] = (uint8_t)text[bytes];
        bytes++;
    }
    hil_send(server->event, HIL_LOG, 0, HIL_LINK_OK, bytes);
}

void hil_server_start(hil_server *server, void (*work)(void))
{
    const uint32_t cores = hil_port_cores();
    for (uint32_t core = 0; core < cores; core++) {
        hil_port_paint_stack(core);
    }
    hil_port_layout(&server->layout);
    const hil_layout *layout = &server->layout;
    server->load_status = hil_engine_load(&server->engine, layout->program, layout->program_bytes, layout->arena,
                                          layout->arena_bytes, cores);
    const hil_engine *engine = &server->engine;
    if (HIL_NODES > 1u && engine->loaded && engine->nodes > 1u && !hil_net_open(engine, server)) {
        server->engine.loaded = false;
        server->load_status = HIL_NO_NODES;
    }
    for (uint32_t core = 1; core < server->engine.cores; core++) {
        hil_port_start_core(core, work);
    }
    hil_server_log(server, server->load_status == HIL_OK ? "started" : "started; the program was refused");
}

void hil_server_work(hil_server *server, uint32_t core)
{
    for (;;) {
        hil_engine_meet(&server->engine, core);
        if (server->painting) {
            hil_port_paint_stack(core);
        } else {
            hil_engine_walk(&server->engine, core);
        }
        hil_engine_meet(&server->engine, core);
    }
}

void hil_engine_wait(void)
{
    hil_port_wait();
}

void hil_engine_signal(void)
{
    hil_port_signal();
}
