/* Erases and programs the flash of an STM32L4R5 with two banks, for a debugger that puts this into RAM and calls it: Init, then
 * EraseSector or ProgramPage as often as it likes, then UnInit, each of which gives 0 if all is well. The calls are those of
 * CMSIS flash algorithms (Arm, CMSIS-Pack, "Flash Programming"). Section numbers: RM0432.
 *
 * Nothing here is compiled into the firmware; no data but constants, since nobody sets any up. */
#include <stdint.h>

#define ACR (*(volatile uint32_t *)0x40022000u)
#define KEYR (*(volatile uint32_t *)0x40022008u)
#define SR (*(volatile uint32_t *)0x40022010u)
#define CR (*(volatile uint32_t *)0x40022014u)
#define OPTR (*(volatile uint32_t *)0x40022020u)

/* Section 3.7 */
#define ACR_CACHES (3u << 9)
#define ACR_RESET_CACHES (3u << 11)
#define SR_ERRORS 0xc3fau
#define SR_BUSY (1u << 16)
#define CR_PROGRAM (1u << 0)
#define CR_ERASE_PAGE (1u << 1)
#define CR_PAGE_AT 3u
#define CR_BANK_2 (1u << 11)
#define CR_START (1u << 16)
#define CR_LOCKED (1u << 31)
#define OPTR_TWO_BANKS (1u << 22)
#define KEY_1 0x45670123u
#define KEY_2 0xcdef89abu

#define FLASH 0x08000000u
#define BANK_BYTES (1u << 20)
#define PAGE_BITS 12u /* of a page in a chip with two banks; with one they are twice as large */

enum { OK, ONE_BANK, STILL_LOCKED, FAILED };

int Init(uint32_t address, uint32_t clock, uint32_t function);
int UnInit(uint32_t function);
int EraseSector(uint32_t address);
int ProgramPage(uint32_t address, uint32_t bytes, const uint32_t *from);
void hil_loader_return(void);

/* Where each call returns to: the debugger finds the core halted. It is the first of all. */
__attribute__((naked, used, section(".first"))) void hil_loader_return(void)
{
    __asm__ volatile("bkpt #0\n\tnop");
}

static int finished(void)
{
    while ((SR & SR_BUSY) != 0u) {
    }
    const uint32_t errors = SR & SR_ERRORS;
    SR = errors; /* writing ones takes them away */
    CR = 0;
    return errors == 0u ? OK : FAILED;
}

/* Section 3.3.5: the keys. Caches are off from here to the next reset: they would show flash as it was. */
__attribute__((used)) int Init(uint32_t address, uint32_t clock, uint32_t function)
{
    (void)address;
    (void)clock;
    (void)function;
    if ((OPTR & OPTR_TWO_BANKS) == 0u) {
        return ONE_BANK;
    }
    ACR &= ~ACR_CACHES;
    ACR |= ACR_RESET_CACHES;
    ACR &= ~ACR_RESET_CACHES;
    if ((CR & CR_LOCKED) != 0u) {
        KEYR = KEY_1;
        KEYR = KEY_2;
    }
    SR = SR_ERRORS; /* what an earlier user has left */
    return (CR & CR_LOCKED) == 0u ? OK : STILL_LOCKED;
}

__attribute__((used)) int UnInit(uint32_t function)
{
    (void)function;
    CR = CR_LOCKED;
    return OK;
}

/* Section 3.3.6. */
__attribute__((used)) int EraseSector(uint32_t address)
{
    const uint32_t offset = address - FLASH;
    const uint32_t bank = offset >= BANK_BYTES ? CR_BANK_2 : 0u;
    const uint32_t page = (offset & (BANK_BYTES - 1u)) >> PAGE_BITS;
    CR = CR_ERASE_PAGE | bank | page << CR_PAGE_AT;
    CR |= CR_START;
    return finished();
}

/* Section 3.3.7: two words at a time, one behind the other. */
__attribute__((used)) int ProgramPage(uint32_t address, uint32_t bytes, const uint32_t *from)
{
    volatile uint32_t *to = (volatile uint32_t *)(uintptr_t)address;
    CR = CR_PROGRAM;
    for (uint32_t left = bytes; left >= 8u; left -= 8u) {
        *to++ = *from++;
        *to++ = *from++;
        while ((SR & SR_BUSY) != 0u) {
        }
    }
    return finished();
}
