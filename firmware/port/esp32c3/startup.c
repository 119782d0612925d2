/* From the boot ROM to main, and from a trap to a fault report. No interrupts are taken. */
#include <stdint.h>

#include "esp32c3.h"
#include "main.h"
#include "registers.h"

int main(void);

extern uint32_t __hil_data_load[];
extern uint32_t __hil_data_start[];
extern uint32_t __hil_data_end[];
extern uint32_t __hil_bss_start[];
extern uint32_t __hil_bss_end[];

/* The boot ROM leaves three watchdogs running. Nobody here would feed them. */
static void stop_watchdogs(void)
{
    *reg(RTC_WDT_PROTECT) = WDT_KEY;
    *reg(RTC_WDT_CONFIG0) = 0;
    *reg(RTC_WDT_PROTECT) = 0;
    *reg(RTC_SWD_PROTECT) = RTC_SWD_KEY;
    set_bits(RTC_SWD_CONF, RTC_SWD_FEEDS_ITSELF);
    *reg(RTC_SWD_PROTECT) = 0;
    *reg(TIMG0_WDT_PROTECT) = WDT_KEY;
    *reg(TIMG0_WDT_CONFIG0) = 0;
    *reg(TIMG0_WDT_PROTECT) = 0;
}

/* From the crystal's half, 20 MHz, to the PLL, which the boot ROM's USB runs on. */
static void start_clocks(void)
{
    clear_bits(RTC_OPTIONS0, RTC_OPTIONS0_PLL_OFF);
    uint32_t speed = *reg(SYSTEM_CPU_PER_CONF) & ~(uint32_t)CPU_PER_CONF_SELECT;
    speed |= CPU_PER_CONF_PLL_480;
    if (HIL_CLOCK_HZ > 80000000u) {
        speed |= CPU_PER_CONF_160_MHZ;
    }
    *reg(SYSTEM_CPU_PER_CONF) = speed;
    *reg(SYSTEM_SYSCLK_CONF) = (*reg(SYSTEM_SYSCLK_CONF) & ~(uint32_t)SYSCLK_CONF_SOURCE) | SYSCLK_CONF_PLL;
}

__attribute__((noreturn)) void hil_reset(void)
{
    stop_watchdogs();
    const uint32_t *from = __hil_data_load;
    for (volatile uint32_t *to = __hil_data_start; to < __hil_data_end; to++) {
        *to = *from++;
    }
    for (volatile uint32_t *at = __hil_bss_start; at < __hil_bss_end; at++) {
        *at = 0;
    }
    start_clocks();
    esp32c3_start_counters();
    esp32c3_start_console();
    main();
    for (;;) {
    }
}

/* `frame`: ra, a0, a1, a2, a3, with the stack pointer as it was 32 bytes above. */
__attribute__((noreturn)) void esp32c3_fault(const uint32_t *frame)
{
    uint32_t pc = 0;
    uint32_t status = 0;
    uint32_t cause = 0;
    uint32_t value = 0;
    __asm__ volatile("csrr %0, mepc" : "=r"(pc));
    __asm__ volatile("csrr %0, mstatus" : "=r"(status));
    __asm__ volatile("csrr %0, mcause" : "=r"(cause));
    __asm__ volatile("csrr %0, mtval" : "=r"(value));
    const hil_fault fault = {
        .reason = cause >> 31 == 0u ? HIL_HARD_FAULT : HIL_OTHER_EXCEPTION,
        .core = hil_port_core(),
        .sp = (uint32_t)(uintptr_t)frame + 32u,
        .r0 = frame[1],
        .r1 = frame[2],
        .r2 = frame[3],
        .r3 = frame[4],
        .r12 = value,
        .lr = frame[0],
        .pc = pc,
        .xpsr = status,
        .exc_return = cause,
    };
    hil_server_fault(&hil_the_server, &fault);
    for (;;) {
    }
}
