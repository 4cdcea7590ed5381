/* A child calls the function of the kernel. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
long fall(long n);
int main(void)
{
    int status;
    if (fork() == 0)
        _exit(fall(1));
    wait(&status);
    printf("child: signal %d; parent: %ld\n", WTERMSIG(status), fall(0));
    return 0;
}
