/* Runs a program on this machine: `runner PROGRAM INPUTS ARENA_OUT`. Built with sanitizers by tests/support/engine.py.
 * INPUTS is the bytes of all inputs one after the other. Writes the status, the failing step, and the whole arena. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "native_team.h"

static uint8_t *slurp(const char *path, uint32_t *size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        exit(90);
    }
    fseek(f, 0, SEEK_END);
    *size = (uint32_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(*size + 4u);
    if (data == NULL || fread(data, 1, *size, f) != *size) {
        exit(91);
    }
    fclose(f);
    return data;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        return 92;
    }
    uint32_t size, input_size;
    uint8_t *file = slurp(argv[1], &size);
    uint8_t *inputs = slurp(argv[2], &input_size);
    uint8_t *program = malloc(size == 0u ? 1u : size); /* exact, so that a read past the end is seen */
    memcpy(program, file, size);
    const uint32_t arena_size = (uint32_t)strtoul(argv[4], NULL, 10);
    uint8_t *arena = malloc(arena_size == 0u ? 1u : arena_size);
    memset(arena, 0xa5, arena_size);
    hil_engine engine;
    memset(&engine, 0, sizeof engine);
    hil_status status = hil_engine_load(&engine, program, size, arena, arena_size, HIL_MAX_CORES);
    for (uint32_t i = 0, at = 0; status == HIL_OK && i < engine.inputs; i++) {
        hil_span span;
        status = hil_engine_input(&engine, i, &span);
        if (at + span.bytes > input_size) {
            return 93;
        }
        memcpy(arena + span.offset, inputs + at, span.bytes);
        at += span.bytes;
    }
    if (status == HIL_OK) {
        status = team_run(&engine, 0);
    }
    FILE *out = fopen(argv[3], "wb");
    if (out == NULL) {
        return 94;
    }
    const uint32_t head[2] = {(uint32_t)status, engine.mates[0].step};
    fwrite(head, sizeof head, 1, out);
    fwrite(arena, 1, arena_size, out);
    fclose(out);
    free(arena);
    free(program);
    free(inputs);
    free(file);
    return 0;
}
