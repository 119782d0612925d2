// Boot ROM of the virtual RP2040: vectors, the few well-known addresses (2.8.3), and what C cannot say.
// Written for this project from section 2.8 of the data sheet.

    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .section .vectors, "ax"
start:
    .word 0x20041f00                // stack below the place of the second stage
    .word rom_reset
    .word rom_dead                  // NMI
    .word rom_dead                  // HardFault, while VTOR is still 0
    .byte 'M', 'u', 1, 2
    .hword functions - start        // lld knows no 16-bit relocations: all of these are in this section
    .hword data - start
    .hword lookup - start + 1

    // Address 0x40 is what the host process knows as "in BOOTSEL": no valid second stage in flash.
    .org 0x40
    .thumb_func
    .global rom_bootsel
rom_bootsel:
    cpsid i
1:  wfe
    b 1b

    // lookup(table of {code, address} halfwords that ends in 0, code) -> address, or 0
lookup:
    ldrh r2, [r0]
    cmp r2, #0
    beq 1f
    cmp r2, r1
    beq 2f
    adds r0, #4
    b lookup
1:  movs r0, #0
    bx lr
2:  ldrh r0, [r0, #2]
    bx lr

#include "flash.h"

    .balign 4
functions:
    .byte 'U', 'B'                  // reset to USB boot
    .hword 0x41                     // rom_bootsel
    .byte 'I', 'F'                  // flash (2.8.3.1.3): connect
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
data:
    .hword 0

    .section .text.entry, "ax"
    .thumb_func
    .global rom_reset
rom_reset:
    movs r0, #0xd0                  // SIO_CPUID: which core is this?
    lsls r0, r0, #24
    ldr r0, [r0]
    cmp r0, #0
    bne 1f
    bl rom_core0
    b rom_dead
1:  bl rom_core1

    .thumb_func
rom_dead:
    b rom_dead

    // rom_second_stage(address): LR 0 says "called from the ROM" (2.8.1.3.1)
    .thumb_func
    .global rom_second_stage
rom_second_stage:
    movs r1, #0
    mov lr, r1
    adds r0, #1
    bx r0

    // rom_enter(vtor, sp, entry)
    .thumb_func
    .global rom_enter
rom_enter:
    ldr r3, =0xe000ed08             // VTOR
    str r0, [r3]
    msr msp, r1
    bx r2
