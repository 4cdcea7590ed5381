/* A thread, a square root and f(), which is somebody else's. */
#include <pthread.h>
#include <stdio.h>
#include <math.h>
int f(int);
static void *work(void *p) { return p; }
int main(int argc, char **argv)
{
    pthread_t t;
    void *p;
    pthread_create(&t, 0, work, argv);
    pthread_join(t, &p);
    printf("%d %d %s\n", f(argc), p == argv, argv[argc - 1]);
    return (int)sqrt(argc * argc);
}
