/* Asks the kernel to panic at an interrupt that nobody explains, and waits for it. */
#include <stdio.h>
volatile unsigned long turns;
static __attribute__((noinline)) void spin(void)
{
    for (;;)
        turns++;
}
int main(void)
{
    FILE *file = fopen("/proc/sys/kernel/panic_on_unrecovered_nmi", "w");
    if (!file || fputs("1", file) == EOF || fclose(file))
        return 1;
    spin();
}
