// Boot ROM of the virtual RP2350: vectors, and what C cannot say.
// Written for this project from chapter 5 of the RP2350 data sheet.

    .syntax unified
    .cpu cortex-m33
    .thumb

    .section .vectors, "ax"
    .word 0x20081800                // a stack for each core comes from rom_reset
    .word rom_reset
    .rept 14
    .word rom_dead                  // every exception, while VTOR is still 0
    .endr

    // Address 0x40 is what the host process knows as "in BOOTSEL": no image in flash.
    .org 0x40
    .thumb_func
    .global rom_bootsel
rom_bootsel:
    cpsid i
1:  wfe
    b 1b

    .section .text.entry, "ax"
    .thumb_func
    .global rom_reset
rom_reset:
    movs r0, #0xd0                  // SIO_CPUID: which core is this?
    lsls r0, r0, #24
    ldr r0, [r0]
    cbnz r0, 1f
    bl rom_core0
    b rom_dead
1:  movw r0, #0x1c00
    movt r0, #0x2008
    msr msp, r0
    bl rom_core1

    .thumb_func
rom_dead:
    b rom_dead

    // rom_enter(vtor, sp, entry)
    .thumb_func
    .global rom_enter
rom_enter:
    movw r3, #0xed08                // VTOR
    movt r3, #0xe000
    str r0, [r3]
    msr msp, r1
    bx r2
