/* Instructions that compilers seldom or never make of C, each class in a loop with an odd count, so that two wrong
 * costs cannot make up for each other by chance in all of them. */
#include "stop.h"

uint32_t words[16];

#define LOOP(count, body)                                                                                              \
    __asm__ volatile("ldr r4, =words\n movs r5, #" #count "\n 9:\n" body "\n subs r5, #1\n bne 9b"                     \
                     : : : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "lr", "cc", "memory")

void main(void)
{
    for (uint32_t i = 0; i < 16; i++) words[i] = i;
    LOOP(3, "mov r0, r4\n ldm r0!, {r1}\n ldm r0!, {r1, r2, r3}\n ldm r0, {r0, r1, r2, r3, r6}");
    LOOP(5, "mov r0, r4\n stm r0!, {r5}\n stm r0!, {r1, r2, r3, r5}");
    LOOP(7, "push {r0}\n push {r0, r1, r2, r3, r4, r5, r6, r7}\n pop {r0, r1, r2, r3, r4, r5, r6, r7}\n pop {r1}");
    LOOP(11, "push {lr}\n pop {r0}\n push {r0, r1, lr}\n pop {r0, r1, r2}");
    LOOP(13, "adr r0, 1f\n adds r0, #1\n push {r0}\n pop {pc}\n .balign 4\n 1: nop");
    LOOP(17, "adr r0, 1f\n adds r0, #1\n push {r0, r1}\n pop {r1, r2}\n push {r0, r1, r2}\n mov r1, sp\n str r0, [r1, #8]\n"
             " pop {r2, r3, pc}\n .balign 4\n 1: nop");
    LOOP(19, "mrs r0, primask\n mrs r1, msp\n msr primask, r0\n msr apsr, r1\n mrs r2, control");
    LOOP(23, "dsb\n dmb\n isb\n isb");
    LOOP(29, "adr r0, 1f\n adds r0, #1\n bx r0\n .balign 4\n 1: nop");
    LOOP(31, "adr r0, 1f\n mov pc, r0\n .balign 4\n 1: nop\n movs r0, #2\n add pc, r0\n nop\n nop\n nop");
    LOOP(37, "adr r0, 1f\n adds r0, #1\n blx r0\n b 2f\n .balign 4\n 1: bx lr\n 2: bl 3f\n b 4f\n 3: bx lr\n 4: nop");
    LOOP(41, "cpsid i\n cpsie i\n nop\n yield\n sev\n uxtb r0, r4\n uxth r1, r4\n sxtb r2, r4\n sxth r3, r4\n rev r0, r4\n"
             " rev16 r1, r4\n revsh r2, r4\n muls r3, r4, r3\n mvns r6, r4\n tst r6, r4\n cmn r6, r4\n mov r8, r6\n"
             " add r8, r6\n cmp r8, r6");
    LOOP(43, "cmp r5, #20\n bhi 1f\n nop\n 1: cmp r5, #30\n blo 2f\n nop\n nop\n 2: b 3f\n nop\n 3: nop");
    ANSWER[0] = words[0] + words[3] * 16u;
    stop();
}
