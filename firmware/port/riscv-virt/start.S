/* Every hart starts here, in machine mode, with its number in a0 (the machine's reset vector). Hart 0 goes on to
 * hil_reset; the others sleep until hart 0 sends them a software interrupt, and then run what it left for them. */

    .section .start, "ax"
    .global __hil_start
    .type __hil_start, %function
__hil_start:
    csrw mie, zero
    csrw mstatus, zero
    la t0, riscv_virt_trap
    csrw mtvec, t0
    csrr t0, mhartid
    /* Hart k's stack ends k stacks below hart 0's. */
    la sp, __hil_stack0_top
    li t1, HIL_STACK_BYTES
    mv t2, t0
1:  beqz t2, 2f
    sub sp, sp, t1
    addi t2, t2, -1
    j 1b
2:  beqz t0, 4f
    /* Software interrupts alone wake this hart: nobody sends one before memory is set up. */
    li t1, 8
    csrw mie, t1
3:  wfi
    csrr t1, mip
    andi t1, t1, 8
    beqz t1, 3b
    slli t2, t0, 2
    li t3, 0x02000000           /* this hart's software interrupt, taken back before the look at what there is to do */
    add t3, t3, t2
    sw zero, 0(t3)
    fence rw, rw                /* what hart 0 wrote before it sent the interrupt is read after it */
    la t1, riscv_virt_entries
    add t1, t1, t2
    lw t1, 0(t1)
    beqz t1, 3b                 /* a signal for others */
    jr t1                       /* on an empty stack */
4:  tail hil_reset
    .size __hil_start, . - __hil_start

/* A trap: saves what riscv_virt_fault reports, on the stack of the hart that trapped. It never returns. */
    .section .text.riscv_virt_trap, "ax"
    .balign 4
    .type riscv_virt_trap, %function
riscv_virt_trap:
    addi sp, sp, -32
    sw ra, 0(sp)
    sw a0, 4(sp)
    sw a1, 8(sp)
    sw a2, 12(sp)
    sw a3, 16(sp)
    mv a0, sp
    tail riscv_virt_fault
    .size riscv_virt_trap, . - riscv_virt_trap
