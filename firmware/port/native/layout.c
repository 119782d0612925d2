/* Where memory is. The arena has the size that the board's file gives RAM. */
#include "native.h"
#include "port.h"

extern uint8_t __hil_data_start[];
extern uint8_t __hil_data_end[];
extern uint8_t __hil_bss_start[];
extern uint8_t __hil_bss_end[];
extern const uint8_t __hil_program_start[];
extern const uint8_t __hil_program_end[];

static NATIVE_HARDWARE _Alignas(16) uint8_t arena[HIL_RAM_BYTES];

static uint32_t between(const uint8_t *from, const uint8_t *to)
{
    return (uint32_t)((uintptr_t)to - (uintptr_t)from);
}

void hil_port_layout(hil_layout *layout)
{
    layout->static_bytes = between(__hil_data_start, __hil_data_end) + between(__hil_bss_start, __hil_bss_end);
    layout->arena = arena;
    layout->arena_bytes = HIL_RAM_BYTES - layout->static_bytes;
    layout->program = __hil_program_start;
    layout->program_bytes = between(__hil_program_start, __hil_program_end);
}

const char *hil_port_board(void)
{
    return HIL_BOARD;
}

uint32_t hil_port_cores(void)
{
    return HIL_CORES;
}
