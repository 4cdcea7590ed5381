/*
 * With an argument it crashes three calls deep beside a second thread, with `abort` by that function, with `memory` by
 * taking all there is; with `wait` it waits for a signal. Without one it says hello.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int kept = 31;
static char how;
static pthread_barrier_t both;

static void *sleeper(void *unused)
{
    pthread_barrier_wait(&both);
    pause();
    return unused;
}

static int deepest(int depth)
{
    int answer = 4711 + depth;

    kept++;
    __asm__ volatile("mov $0x1122334455667788, %%r12\n\tmovl $1, 8" ::: "r12", "memory");
    return answer;
}

/* Takes memory until there is none. */
static void take(void)
{
    for (;;)
        memset(malloc(1 << 20), 1, 1 << 20);
}

static int middle(int depth)
{
    if (how == 'a')
        abort();
    if (how == 'm')
        take();
    return deepest(depth + 1) + 1;
}

int main(int argc, char **argv)
{
    pthread_t thread;

    if (argc > 1 && argv[1][0] == 'w')
        pause();
    if (argc > 1) {
        how = argv[1][0];
        pthread_barrier_init(&both, NULL, 2);
        pthread_create(&thread, NULL, sleeper, NULL);
        pthread_barrier_wait(&both);
        return middle(1);
    }
    printf("hello\n");
    fflush(stdout);
    return 7;
}
