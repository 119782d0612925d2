/* Clocks, power and a timer of the STM32L4R5. Section numbers: RM0432.
 *
 * RCC (6): MSI, HSI16 and the PLL give their frequencies at once; LSE takes 2 s. Blocks whose clock is off read as zero and
 * ignore writes. PWR (5): ranges and boost are storage that is checked, see `check`. TIM2 (38): it counts up; nothing else of
 * it is modelled.
 */
#include "machine.h"

enum { CR = 0x00, CFGR = 0x08, PLLCFGR = 0x0c, AHB2ENR = 0x4c, APB1ENR1 = 0x58, APB1ENR2 = 0x5c, CCIPR = 0x88, BDCR = 0x90,
       CSR = 0x94 };
enum { MSION = 1, MSIRDY = 2, MSIRGSEL = 8, HSION = 1 << 8, HSIRDY = 1 << 10, PLLON = 1 << 24, PLLRDY = 1 << 25 };
enum { LSEON = 1, LSERDY = 2 };
enum { HSI_HZ = 16000000, LSE_SECONDS = 2 };

static const Rate stopped = {0, 1};

static Rate msi(const uint32_t *rcc)
{
    static const uint32_t hz[12] = {100000, 200000, 400000, 800000, 1000000, 2000000, 4000000, 8000000, 16000000, 24000000,
                                    32000000, 48000000};
    uint32_t range = rcc[CR / 4] & MSIRGSEL ? rcc[CR / 4] >> 4 & 15u : 6u;
    return rate_make(hz[range < 12 ? range : 6u], 1);
}

static Rate hsi(const uint32_t *rcc) { return rcc[CR / 4] & HSION ? rate_make(HSI_HZ, 1) : stopped; }

/* 2.66 to 16 MHz into it, 64 to 344 MHz within (6.2.5; data sheet, PLL characteristics): no output otherwise. */
static Rate pll(const uint32_t *rcc)
{
    uint32_t setting = rcc[PLLCFGR / 4], source = setting & 3u, times = setting >> 8 & 0x7fu;
    Rate in = source == 1 ? msi(rcc) : source == 2 ? hsi(rcc) : stopped;
    if (!(rcc[CR / 4] & PLLON) || !in.num || !(setting >> 24 & 1u)) return stopped;
    uint64_t hz = in.num / ((setting >> 4 & 15u) + 1u), within = hz * times;
    if (hz < 2660000u || hz > 16000000u || within < 64000000u || within > 344000000u) return stopped;
    return rate_make(within, ((setting >> 25 & 3u) + 1u) * 2u);
}

static uint32_t ahb_divider(uint32_t code)
{
    static const uint16_t dividers[8] = {2, 4, 8, 16, 64, 128, 256, 512};
    return code & 8u ? dividers[code & 7u] : 1u;
}

static uint32_t apb_divider(uint32_t code) { return code & 4u ? 2u << (code & 3u) : 1u; }

static Rate chosen(const uint32_t *rcc)
{
    switch (rcc[CFGR / 4] & 3u) {
    case 0: return msi(rcc);
    case 1: return hsi(rcc);
    case 3: return pll(rcc);
    default: return stopped; /* HSE: nothing is connected */
    }
}

/* What the supply and the flash can do (5.1.8, 3.3.3): above 80 MHz range 1 with boost, and a wait state each 20 MHz. */
static void check(Machine *m)
{
    const uint32_t *power = bus_bank(m, BLOCK_POWER), *flash = bus_bank(m, BLOCK_FLASH);
    uint64_t hz = m->sys.num / m->sys.den;
    bool range1 = (power[0] >> 9 & 3u) == 1, boost = !(power[0x80 / 4] >> 8 & 1u);
    uint64_t most = !range1 ? 26000000u : boost ? 120000000u : 80000000u, wait = 20000000u;
    if (hz > most || hz > wait * ((flash[0] & 15u) + 1u)) note(m, NOTE_OVERSPEED, 0, (uint32_t)hz, flash[0] & 15u);
}

void stm32_rates(Machine *m, uint64_t cycle)
{
    const uint32_t *rcc = bus_bank(m, BLOCK_CLOCKS), *timer = bus_bank(m, BLOCK_TIMER);
    uint32_t apb = apb_divider(rcc[CFGR / 4] >> 8 & 7u);
    (void)cycle;
    m->ref = chosen(rcc); /* SYSCLK */
    m->sys = rate_divide(m->ref, ahb_divider(rcc[CFGR / 4] >> 4 & 15u), 1);
    m->peri = rate_divide(m->sys, apb, 1);
    m->tick = m->watchdog_tick = stopped;
    Rate timers = apb == 1 ? m->sys : rate_divide(m->peri, 1, 2); /* 6.2.14 */
    m->timer_tick = timer[0] & 1u ? rate_divide(timers, (uint64_t)m->timer_prescaler + 1u, 1) : stopped;
    check(m);
}

/* ---- RCC ----------------------------------------------------------------------------------------------------- */

uint32_t stm32_rcc_read(const Access *at)
{
    Machine *m = at->m;
    uint32_t value = at->regs[at->offset / 4];
    switch (at->offset) {
    case CR: return value | MSIRDY | (value & HSION ? HSIRDY : 0) | (pll(at->regs).num ? PLLRDY : 0);
    case CFGR: return (value & ~0xcu) | (value & 3u) << 2;
    case CSR: return value | 6u << 8; /* MSI's range behind standby, and reset */
    case BDCR:
        if (value & LSEON && at->now < m->xosc_stable) stable_until(at->core, m->xosc_stable);
        return value | (value & LSEON && at->now >= m->xosc_stable ? LSERDY : 0);
    default: return value;
    }
}

/* Blocks without a clock are held, like those that RP2040 holds in reset: bits of m->resets. */
static void gate(Machine *m)
{
    const uint32_t *rcc = bus_bank(m, BLOCK_CLOCKS);
    uint32_t on = 0;
    if (rcc[APB1ENR1 / 4] >> 28 & 1u) on |= 1u << STM32_PWR;
    if (rcc[APB1ENR1 / 4] & 1u) on |= 1u << STM32_TIM2;
    if (rcc[APB1ENR2 / 4] & 1u) on |= 1u << STM32_LPUART1;
    if (rcc[AHB2ENR / 4] >> 6 & 1u) on |= 1u << STM32_GPIOG;
    m->resets = m->chip->resets_all & ~on;
}

void stm32_rcc_write(const Access *at, uint32_t value)
{
    Machine *m = at->m;
    bool open = (bus_bank(m, BLOCK_POWER)[0] >> 8 & 1u) != 0; /* PWR_CR1.DBP (5.1.3) */
    uint32_t old = at->regs[at->offset / 4];
    if (at->offset == BDCR && !open) return;
    at->regs[at->offset / 4] = value;
    if (at->offset == CR) at->regs[CR / 4] = value & ~(uint32_t)(MSIRDY | HSIRDY | PLLRDY);
    if (at->offset == BDCR && value & LSEON && !(old & LSEON)) {
        Rate needed = rate_divide(m->sys, 1, LSE_SECONDS);
        m->xosc_stable = at->now + needed.num / needed.den;
    }
    gate(m);
    clocks_update(m, at->now);
}

/* ---- PWR ----------------------------------------------------------------------------------------------------- */

/* SR2.VOSF: the supply has settled, at once. */
uint32_t stm32_pwr_read(const Access *at) { return at->offset == 0x14 ? 0 : at->regs[at->offset / 4]; }

void stm32_pwr_write(const Access *at, uint32_t value)
{
    at->regs[at->offset / 4] = value;
    uart_stm32_follow(at->m, at->now); /* CR2.IOSV isolates its pins */
}

/* ---- TIM2 ---------------------------------------------------------------------------------------------------- */

enum { TIM_CR1 = 0x00, TIM_EGR = 0x14, TIM_CNT = 0x24, TIM_PSC = 0x28 };

uint32_t stm32_tim_read(const Access *at)
{
    uint64_t count = counter_at(&at->m->timer, at->now);
    if (at->offset == TIM_EGR) return 0;
    if (at->offset != TIM_CNT) return at->regs[at->offset / 4];
    stable_until(at->core, counter_when(&at->m->timer, count + 1));
    return (uint32_t)count;
}

/* PSC counts from the next update on: of those that come by themselves, once in 2^32 counts, none is modelled. */
void stm32_tim_write(const Access *at, uint32_t value)
{
    Machine *m = at->m;
    at->regs[at->offset / 4] = value;
    if (at->offset == TIM_CNT) counter_set(&m->timer, at->now, value);
    if (at->offset == TIM_EGR && value & 1u) {
        m->timer_prescaler = at->regs[TIM_PSC / 4] & 0xffffu;
        counter_set(&m->timer, at->now, 0);
    }
    clocks_update(m, at->now);
}
