/* What core 1 does in the boot ROM of both chips: it waits in its mailbox for the address to go to. */
#include <stdint.h>

extern void rom_enter(uint32_t vtor, uint32_t sp, uint32_t entry);
void rom_core1(void);

static volatile uint32_t *const fifo_status = (volatile uint32_t *)0xd0000050u;
static volatile uint32_t *const fifo_write = (volatile uint32_t *)0xd0000054u;
static volatile uint32_t *const fifo_read = (volatile uint32_t *)0xd0000058u;

static uint32_t mailbox_get(void)
{
    while (!(*fifo_status & 1u)) __asm__ volatile("wfe");
    return *fifo_read;
}

static void mailbox_put(uint32_t word)
{
    while (!(*fifo_status & 2u)) { }
    *fifo_write = word;
    __asm__ volatile("sev");
}

/* The launch sequence 0, 0, 1, VTOR, SP, entry (RP2040 2.8.2, RP2350 5.3); every word is sent back. A wrong word starts it over. */
void rom_core1(void)
{
    uint32_t words[3];
    for (uint32_t step = 0; step < 6;) {
        uint32_t word = mailbox_get();
        mailbox_put(word);
        if (step < 2) step = word == 0 ? step + 1 : 0;
        else if (step == 2) step = word == 1 ? 3 : word == 0 ? 2 : 0;
        else words[step++ - 3] = word;
    }
    rom_enter(words[0], words[1], words[2]);
}
