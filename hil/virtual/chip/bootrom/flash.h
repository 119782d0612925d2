// The ROM's flash functions, for both chips: they hand over to the machine (native/flasher.c). What they do on silicon to
// get the flash chip out of and back into execute-in-place has nothing to do here.

    // void connect(void), and others that find everything as they want it
rom_flash_nothing:
    bx lr
    // void erase(uint32_t offset, size_t count, uint32_t block, uint8_t command)
rom_flash_erase:
    movs r3, #1
    b rom_flash_do
    // void program(uint32_t offset, const uint8_t *data, size_t count)
rom_flash_program:
    mov r3, r1
    mov r1, r2
    ldr r2, rom_flasher
    str r3, [r2, #8]
    movs r3, #2
rom_flash_do:
    ldr r2, rom_flasher
    str r0, [r2, #0]
    str r1, [r2, #4]
    str r3, [r2, #12]
    bx lr
    .balign 4
rom_flasher:
    .word 0x3ffff000
