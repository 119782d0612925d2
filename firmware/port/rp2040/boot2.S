/* Second stage of the boot, RP2040 data sheet section 2.8.1.3.1: the ROM copies the first 256 bytes of flash to RAM,
 * checks the CRC-32 in the last four (the image builder writes it), and calls this. It sets up execute-in-place with
 * the plain serial read command 03h, which every flash chip has, then starts the program behind it. */

    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .equ XIP_SSI_BASE, 0x18000000       /* section 4.10.13 */
    .equ SSI_CTRLR0, 0x00
    .equ SSI_CTRLR1, 0x04
    .equ SSI_SSIENR, 0x08
    .equ SSI_BAUDR, 0x14
    .equ SSI_SPI_CTRLR0, 0xf4
    .equ PPB_VTOR, 0xe000ed08           /* section 2.4.8 */

    .section .boot2, "ax"
    .global __hil_boot2
    .type __hil_boot2, %function
    .thumb_func
__hil_boot2:
    ldr r3, =XIP_SSI_BASE
    movs r1, #0
    str r1, [r3, #SSI_SSIENR]           /* off, while it is set up */
    movs r1, #4                         /* 125 MHz / 4: 03h is good for 33 MHz at least */
    str r1, [r3, #SSI_BAUDR]
    /* Standard SPI, 32 clocks of data, "EEPROM read": send command and address, then receive. */
    ldr r1, =(31 << 16) | (3 << 8)
    str r1, [r3, #SSI_CTRLR0]
    movs r1, #0                         /* one word a read */
    str r1, [r3, #SSI_CTRLR1]
    /* Command 03h of 8 bits, address of 6 x 4 bits, both on one line. */
    ldr r1, =(0x03 << 24) | (2 << 8) | (6 << 2)
    adds r3, #SSI_SPI_CTRLR0
    str r1, [r3]
    subs r3, #SSI_SPI_CTRLR0
    movs r1, #1
    str r1, [r3, #SSI_SSIENR]

    ldr r0, =__hil_vectors
    ldr r1, =PPB_VTOR
    str r0, [r1]
    ldm r0!, {r1, r2}
    msr msp, r1
    bx r2
    .ltorg
    .org 252
    .word 0                             /* the CRC-32 */
    .size __hil_boot2, . - __hil_boot2
