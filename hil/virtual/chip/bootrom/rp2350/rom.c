/* Boot ROM of the virtual RP2350, from chapter 5 of its data sheet: core 0 starts the Arm image that a block in the first
 * 4 KiB of flash describes, core 1 waits to be launched (launch.c). No USB, no partitions, no signatures, no hashes. */
#include <stdbool.h>
#include <stdint.h>

extern void rom_bootsel(void);
extern void rom_enter(uint32_t vtor, uint32_t sp, uint32_t entry);
void rom_core0(void);

/* Section 5.9.1: a block lies between two markers and is a list of items. */
#define FLASH 0x10000000u
enum { SEARCHED_WORDS = 1024, MOST_BLOCK_WORDS = 160 };
#define BLOCK_START 0xffffded3u
#define BLOCK_END 0xab123579u
enum { ITEM_VECTOR_TABLE = 0x03, ITEM_IMAGE_TYPE = 0x42, ITEM_ENTRY_POINT = 0x44, ITEM_LAST = 0xff };
/* Section 5.9.3.1: executable, Secure, Arm, RP2350; "try before you buy" (bit 15) is let through. */
enum { IMAGE_MASK = 0x773f, IMAGE_WANTED = 0x1021 };

typedef struct { bool runs; uint32_t vectors, sp, entry; } Image;

/* The image that the block at `at` describes, `left` words of flash being searched; runs is false if there is none. */
static Image read_block(const volatile uint32_t *at, uint32_t left)
{
    Image image = {false, FLASH, 0, 0}, none = {false, 0, 0, 0};
    uint32_t most = left < MOST_BLOCK_WORDS ? left : MOST_BLOCK_WORDS;
    for (uint32_t word = 1; word + 2 < most;) {
        uint32_t head = at[word], type = head & 0xffu;
        if (type == ITEM_LAST) {
            bool whole = (head >> 8 & 0xffffu) == word - 1 && at[word + 2] == BLOCK_END;
            return whole ? image : none;
        }
        uint32_t size = type & 0x80u ? head >> 8 & 0xffffu : head >> 8 & 0xffu;
        if (size == 0 || size > most - word) return none;
        if (type == ITEM_IMAGE_TYPE) image.runs = (head >> 16 & IMAGE_MASK) == IMAGE_WANTED;
        if (type == ITEM_VECTOR_TABLE && size == 2) image.vectors = at[word + 1];
        if (type == ITEM_ENTRY_POINT && size >= 3) {
            image.entry = at[word + 1];
            image.sp = at[word + 2];
        }
        word += size;
    }
    return none;
}

void rom_core0(void)
{
    const volatile uint32_t *flash = (const volatile uint32_t *)FLASH;
    for (uint32_t word = 0; word < SEARCHED_WORDS; word++) {
        if (flash[word] != BLOCK_START) continue;
        Image image = read_block(flash + word, SEARCHED_WORDS - word);
        if (!image.runs) continue;
        const volatile uint32_t *vectors = (const volatile uint32_t *)(uintptr_t)image.vectors;
        bool own = image.entry != 0;
        rom_enter(image.vectors, own ? image.sp : vectors[0], own ? image.entry : vectors[1]);
    }
    rom_bootsel();
}
