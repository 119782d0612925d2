/* Registers: UART0, the system timer, clocks and watchdogs; of other blocks that firmware may write, storage alone. */
#include <string.h>

#include "esp.h"

enum { PAGE = 0x1000 };
typedef enum { UART0, GPIO, RTC, IO_MUX, TIMG0, TIMG1, SYSTIMER, SYSTEM, PAGES } Page;
_Static_assert(PAGES == ESP_PAGES, "a bank for each page");

/* Chapter "System and Memory", table of module addresses. RTC's page has the eFuse controller's registers too. */
static const uint32_t pages[PAGES] = {
    [UART0] = 0x60000000u, [GPIO] = 0x60004000u, [RTC] = 0x60008000u, [IO_MUX] = 0x60009000u,
    [TIMG0] = 0x6001f000u, [TIMG1] = 0x60020000u, [SYSTIMER] = 0x60023000u, [SYSTEM] = 0x600c0000u,
};

/* Watchdogs: what turns each off may be written only while its key is in place. */
enum { DOG_RTC = 1, DOG_SUPER = 2, DOG_TIMER = 4, DOGS = 7 };
static const uint32_t wdt_key = 0x50d83aa1u, super_key = 0x8f1d312au;
#define BITE_PS 1000000000000u /* the boot ROM gives an application about a second */
#define TICK_PS 62500u         /* of the system timer: 16 MHz */
#define CRYSTAL_HALF_PS 50000u

static int page_of(uint32_t address)
{
    for (int i = 0; i < PAGES; i++)
        if (address - pages[i] < PAGE) return i;
    return -1;
}

bool esp_owns(uint32_t address) { return page_of(address) >= 0; }

uint64_t esp_next_event(const Esp *e)
{
    uint64_t wire = esp_uart_next(e), dog = e->dogs ? e->bite : ESP_NEVER;
    return wire < dog ? wire : dog;
}

void esp_sync(Esp *e) { esp_uart_sync(e, esp_ps(e)); }

static uint32_t systimer_read(const Esp *e, const uint32_t *bank, uint32_t offset)
{
    switch (offset) {
    case 0x04: return 1u << 29; /* what was asked for is there */
    case 0x40: return (uint32_t)(e->ticks >> 32) & 0xfffffu;
    case 0x44: return (uint32_t)e->ticks;
    default: return bank[offset / 4];
    }
}

static void clocks_changed(Esp *e)
{
    const uint32_t *bank = e->bank[SYSTEM];
    uint32_t source = bank[0x58 / 4] >> 10 & 3u, divider = (bank[0x58 / 4] & 0x3ffu) + 1u;
    if (source == 1) esp_clock_rate(e, bank[0x08 / 4] & 1u ? 6250u : 12500u);
    else esp_clock_rate(e, 25000u * divider);
}

static void watchdog_write(Esp *e, Page page, uint32_t offset, uint32_t value)
{
    const uint32_t *bank = e->bank[page];
    if (page == RTC && offset == 0x90 && bank[0xa8 / 4] == wdt_key && !(value >> 31)) e->dogs &= ~(uint32_t)DOG_RTC;
    if (page == RTC && offset == 0xac && bank[0xb0 / 4] == super_key && value >> 31) e->dogs &= ~(uint32_t)DOG_SUPER;
    if (page == TIMG0 && offset == 0x48 && bank[0x64 / 4] == wdt_key && !(value >> 31)) e->dogs &= ~(uint32_t)DOG_TIMER;
}

static uint64_t on_read(uc_engine *uc, uint64_t offset, unsigned bytes, void *user)
{
    Esp *e = user;
    (void)uc;
    uint32_t address = ESP_DEVICES_AT + (uint32_t)offset, at = address % PAGE & ~3u, shift = address % 4u * 8u;
    int page = page_of(address);
    if (page < 0) return 0;
    esp_sync(e);
    uint32_t value = e->bank[page][at / 4];
    if (page == UART0) {
        uint64_t next = esp_uart_next(e);
        value = esp_uart_read(e, e->bank[UART0], at);
        if (next < e->spin.stable) e->spin.stable = next;
    }
    if (page == SYSTIMER) value = systimer_read(e, e->bank[SYSTIMER], at);
    value >>= shift;
    return bytes < 4 ? value & ((1u << bytes * 8u) - 1u) : value;
}

static void on_write(uc_engine *uc, uint64_t offset, unsigned bytes, uint64_t value, void *user)
{
    Esp *e = user;
    (void)uc;
    uint32_t address = ESP_DEVICES_AT + (uint32_t)offset, at = address % PAGE & ~3u, word = (uint32_t)value;
    int page = page_of(address);
    if (page < 0 || bytes != 4) return; /* registers are written whole */
    esp_sync(e);
    esp_effect(e);
    if (page == UART0) {
        esp_uart_write(e, e->bank[UART0], at, word);
        return;
    }
    if (page == RTC || page == TIMG0) watchdog_write(e, (Page)page, at, word);
    e->bank[page][at / 4] = word;
    if (page == SYSTIMER && at == 0x04 && word >> 30 & 1u) e->ticks = esp_ps(e) / TICK_PS;
    if (page == SYSTEM && (at == 0x08 || at == 0x58)) clocks_changed(e);
}

uc_err esp_map_devices(Esp *e)
{
    return uc_mmio_map(e->uc, ESP_DEVICES_AT, ESP_DEVICES_BYTES, on_read, e, on_write, e);
}

/* Reset values of what matters here, as the boot ROM leaves them. */
void esp_devices_reset(Esp *e)
{
    memset(e->bank, 0, sizeof e->bank);
    e->bank[SYSTIMER][0] = 0x46000000u;
    e->bank[SYSTEM][0x08 / 4] = 0xcu;
    e->bank[SYSTEM][0x58 / 4] = 1u;
    esp_clock_rate(e, CRYSTAL_HALF_PS);
    e->ticks = 0;
    e->dogs = DOGS;
    e->bite = esp_ps(e) + BITE_PS;
    esp_uart_reset(e, e->bank[UART0]);
}
