/* A child calls the function of the kernel. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
long spoil(void);
int main(void)
{
    int status;
    if (fork() == 0)
        _exit(spoil());
    wait(&status);
    printf("child: signal %d\n", WTERMSIG(status));
    return 0;
}
