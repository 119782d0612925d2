// Second stage, vectors and start of the small programs that test the virtual board. The test adds the checksum.
    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .section .boot2, "ax"
    ldr r0, =0x10000100
    ldr r1, =0xe000ed08
    str r0, [r1]
    ldmia r0!, {r1, r2}
    msr msp, r1
    bx r2
    .pool
    .org 252
    .word 0                         // checksum

    .section .vectors, "ax"
    .word 0x20040800
    .word entry
    .word dead
    .word hard_fault
    .fill 7, 4, 0
    .word svcall

    .text
    .thumb_func
entry:
    bl main
    .thumb_func
    .global dead
dead:
    b dead

    .weak hard_fault
    .thumb_set hard_fault, dead
    .weak svcall
    .thumb_set svcall, dead
