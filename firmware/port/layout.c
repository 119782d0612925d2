/* Where memory is, from the linker script's symbols; and the paint on the stacks. Of every port without a layout.c of its
 * own. */
#include "port.h"

extern uint8_t __hil_data_start[];
extern uint8_t __hil_data_end[];
extern uint8_t __hil_bss_start[];
extern uint8_t __hil_bss_end[];
extern uint8_t __hil_arena_start[];
extern uint8_t __hil_arena_end[];
extern const uint8_t __hil_program_start[];
extern const uint8_t __hil_program_end[];
extern uint8_t __hil_stack0_bottom[];

#ifdef __riscv
#define READ_STACK_POINTER "mv %0, sp"
#else
#define READ_STACK_POINTER "mov %0, sp"
#endif

static uint32_t between(const uint8_t *from, const uint8_t *to)
{
    return (uint32_t)((uintptr_t)to - (uintptr_t)from);
}

void hil_port_layout(hil_layout *layout)
{
    layout->arena = __hil_arena_start;
    layout->arena_bytes = between(__hil_arena_start, __hil_arena_end);
    layout->program = __hil_program_start;
    layout->program_bytes = between(__hil_program_start, __hil_program_end);
    layout->static_bytes = between(__hil_data_start, __hil_data_end) + between(__hil_bss_start, __hil_bss_end);
}

const char *hil_port_board(void)
{
    return HIL_BOARD;
}

uint32_t hil_port_cores(void)
{
    return HIL_CORES;
}

/* One stack below the other, core 0's on top, as the image builder's MEMORY block has them. */
void hil_port_stack(uint32_t core, hil_stack *stack)
{
    stack->low = __hil_stack0_bottom - core * HIL_STACK_BYTES;
    stack->bytes = HIL_STACK_BYTES;
}

void hil_port_paint_stack(uint32_t core)
{
    hil_stack stack;
    hil_port_stack(core, &stack);
    uintptr_t end = (uintptr_t)stack.low + stack.bytes;
    if (core == hil_port_core()) {
        __asm__ volatile(READ_STACK_POINTER : "=r"(end));
    }
    /* Byte by byte through volatile: no call that would need the stack below. */
    for (volatile uint8_t *at = stack.low; (uintptr_t)at < end; at++) {
        *at = HIL_STACK_PAINT;
    }
}
