// Boot ROM of the virtual RP2350: vectors, and what C cannot say.
// Written for this project from chapter 5 of the RP2350 data sheet.

    .syntax unified
    .cpu cortex-m33
    .thumb

    .section .vectors, "ax"
start:
    .word 0x20081800                // a stack for each core comes from rom_reset
    .word rom_reset
    .word rom_dead                  // NMI
    .word rom_dead                  // HardFault, while VTOR is still 0
    .byte 'M', 'u', 2, 1            // well-known addresses (5.4.1), where faults that are off after reset would be
    .hword functions - start        // lld knows no 16-bit relocations: all of these are in this section
    .hword lookup - start + 1
    .hword lookup - start + 1
    .hword 0
    .rept 9
    .word rom_dead
    .endr

    // Address 0x40 is what the host process knows as "in BOOTSEL": no image in flash.
    .org 0x40
    .thumb_func
    .global rom_bootsel
rom_bootsel:
    cpsid i
1:  wfe
    b 1b

    // lookup(code, mask) -> address, or 0 (5.4.1); all that there is is Secure Arm code, bit 2 of the mask
lookup:
    lsls r1, r1, #29
    bpl 2f
    adr r2, functions
1:  ldrh r3, [r2]
    cbz r3, 2f
    cmp r3, r0
    beq 3f
    adds r2, #4
    b 1b
2:  movs r0, #0
    bx lr
3:  ldrh r0, [r2, #2]
    bx lr

#include "flash.h"

    .balign 4
functions:
    .byte 'I', 'F'                  // flash (5.4.8): connect
    .hword rom_flash_nothing - start + 1
    .byte 'E', 'X'                  // leave execute-in-place
    .hword rom_flash_nothing - start + 1
    .byte 'R', 'E'                  // erase
    .hword rom_flash_erase - start + 1
    .byte 'R', 'P'                  // program
    .hword rom_flash_program - start + 1
    .byte 'F', 'C'                  // flush the cache
    .hword rom_flash_nothing - start + 1
    .byte 'C', 'X'                  // execute in place again
    .hword rom_flash_nothing - start + 1
    .hword 0

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
