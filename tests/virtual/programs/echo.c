/* Sends back every byte plus one. */
#include "chip.h"

void main(void)
{
    clocks();
    uart();
    for (;;) put(get() + 1);
}
