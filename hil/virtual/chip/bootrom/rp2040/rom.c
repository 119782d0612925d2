/* Boot ROM of the virtual RP2040, from section 2.8 of the data sheet: core 0 starts the second stage if its checksum
 * holds, core 1 waits to be launched (launch.c). No USB, no UF2: without a valid second stage core 0 stays in rom_bootsel. */
#include <stdint.h>

#define SECOND_STAGE_BYTES 256u

extern void rom_bootsel(void);
extern void rom_second_stage(uint32_t address);
void rom_core0(void);

/* CRC-32 of the second stage (2.8.1.3.1): polynomial 0x04C11DB7, from all ones, nothing reflected or inverted. */
static uint32_t checksum(const volatile uint8_t *bytes, uint32_t count)
{
    uint32_t crc = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        crc ^= (uint32_t)bytes[i] << 24;
        for (uint32_t bit = 0; bit < 8; bit++) crc = crc & 0x80000000u ? crc << 1 ^ 0x04c11db7u : crc << 1;
    }
    return crc;
}

void rom_core0(void)
{
    const volatile uint32_t *flash = (const volatile uint32_t *)0x10000000u;
    volatile uint32_t *ram = (volatile uint32_t *)0x20041f00u;
    for (uint32_t i = 0; i < SECOND_STAGE_BYTES / 4; i++) ram[i] = flash[i];
    uint32_t found = checksum((const volatile uint8_t *)ram, SECOND_STAGE_BYTES - 4);
    if (found != ram[SECOND_STAGE_BYTES / 4 - 1]) rom_bootsel();
    rom_second_stage(0x20041f00u);
}
