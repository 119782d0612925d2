/* The registers of the STM32L4R5 that this port uses. Section numbers: RM0432. */
#ifndef HIL_STM32L4R5_REGISTERS_H
#define HIL_STM32L4R5_REGISTERS_H

#include "cortex_m4.h"

enum {
    /* Section 3.7 */
    FLASH_ACR = 0x40022000,
    FLASH_LATENCY = 15,
    FLASH_PREFETCH_AND_CACHES = 7 << 8,

    /* Section 5.4 */
    PWR_CR1 = 0x40007000,
    PWR_CR1_BACKUP_OPEN = 1 << 8,
    PWR_CR2 = 0x40007004,
    PWR_CR2_VDDIO2 = 1 << 9,
    PWR_CR5 = 0x40007080,
    PWR_CR5_NO_BOOST = 1 << 8,

    /* Section 6.4 */
    RCC_CR = 0x40021000,
    RCC_CR_MSI_BY_LSE = 1 << 2,
    RCC_CR_PLL_ON = 1 << 24,
    RCC_CR_PLL_READY = 1 << 25,
    RCC_CFGR = 0x40021008,
    RCC_CFGR_FROM_PLL = 3,
    RCC_CFGR_STATUS = 3 << 2,
    RCC_CFGR_HALF = 8 << 4,
    RCC_PLLCFGR = 0x4002100c,
    RCC_AHB2ENR = 0x4002104c,
    RCC_AHB2ENR_GPIOG = 1 << 6,
    RCC_APB1ENR1 = 0x40021058,
    RCC_APB1ENR1_TIM2 = 1 << 0,
    RCC_APB1ENR1_PWR = 1 << 28,
    RCC_APB1ENR2 = 0x4002105c,
    RCC_APB1ENR2_LPUART1 = 1 << 0,
    RCC_BDCR = 0x40021090,
    RCC_BDCR_LSE_ON = 1 << 0,
    RCC_BDCR_LSE_READY = 1 << 1,

    /* Section 8.4 */
    GPIOG_MODER = 0x48001800,
    GPIOG_PUPDR = 0x4800180c,
    GPIOG_AFRL = 0x48001820,
    GPIOG_AFRH = 0x48001824,

    /* Section 38.4 */
    TIM2_CR1 = 0x40000000,
    TIM2_EGR = 0x40000014,
    TIM2_CNT = 0x40000024,
    TIM2_PSC = 0x40000028,
    TIM2_ARR = 0x4000002c,

    /* Section 51.7 */
    LPUART1_CR1 = 0x40008000,
    LPUART1_BRR = 0x4000800c,
    LPUART1_ISR = 0x4000801c,
    LPUART1_ICR = 0x40008020,
    LPUART1_RDR = 0x40008024,
    LPUART1_TDR = 0x40008028,
    LPUART_ENABLE = 1 << 29 | 1 << 3 | 1 << 2 | 1 << 0, /* with FIFOs; sends, receives */
    LPUART_RECEIVED = 1 << 5,
    LPUART_HAS_ROOM = 1 << 7
};

#endif
