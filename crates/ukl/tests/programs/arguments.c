/* Says its arguments, echoes its input in upper case, and ends with what its first argument says. */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* With the prefix, what the kernel could have called its own. */
int call, calling, core_dump, raw_syscall, sync_regs, text, regs, vdso, wild_jump;
int *volatile names[] = { &call, &calling, &core_dump, &raw_syscall, &sync_regs, &text, &regs, &vdso, &wild_jump };

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "0";

    printf("cpus %ld args %d\n", sysconf(_SC_NPROCESSORS_ONLN), argc - 1 + *names[0]);
    fflush(stdout);
    if (!strcmp(what, "hang"))
        for (;;)
            pause();
    if (!strcmp(what, "abort"))
        abort();
    if (!strcmp(what, "time")) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        printf("time %lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
        return 0;
    }
    if (!strcmp(what, "many"))
        for (int i = 0; i < 20000; i++)
            printf("line %d\n", i);
    if (!strcmp(what, "upper")) {
        long n = 0;
        for (int c; (c = getchar()) != EOF; n++)
            putchar(toupper(c));
        printf("%ld bytes\n", n);
        return 0;
    }
    return atoi(what);
}
