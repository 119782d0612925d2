/* The boot ROM jumps here, behind the two magic words (link.ld), in machine mode, on a stack of its own. */

    .section .start, "ax"
    .global __hil_start
    .type __hil_start, %function
__hil_start:
    csrw mie, zero
    csrw mstatus, zero
    la t0, esp32c3_trap
    csrw mtvec, t0
    la sp, __hil_stack0_top
    tail hil_reset
    .size __hil_start, . - __hil_start

/* A trap: saves what esp32c3_fault reports. It never returns. mtvec holds a multiple of 256 (technical reference manual,
 * 1.4.1), and an exception goes to where it points, whatever the mode. */
    .section .text.esp32c3_trap, "ax"
    .balign 256
    .type esp32c3_trap, %function
esp32c3_trap:
    addi sp, sp, -32
    sw ra, 0(sp)
    sw a0, 4(sp)
    sw a1, 8(sp)
    sw a2, 12(sp)
    sw a3, 16(sp)
    mv a0, sp
    tail esp32c3_fault
    .size esp32c3_trap, . - esp32c3_trap
