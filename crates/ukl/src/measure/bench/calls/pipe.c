/* A byte to another process and one back. */
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"

static int ping[2], pong[2];

static void prepare(void)
{
	char c;
	pid_t pid;

	if (pipe(ping) || pipe(pong) || (pid = fork()) < 0)
		die("pipe");
	if (pid > 0)
		return;
	/* It ends with the other end of this pipe. */
	close(ping[1]);
	while (read(ping[0], &c, 1) == 1 && write(pong[1], &c, 1) == 1)
		;
	_exit(0);
}

static void operate(int number)
{
	char c = 0;

	(void)number;
	if (write(ping[1], &c, 1) != 1 || read(pong[0], &c, 1) != 1)
		die("ping");
}

static void finish(void)
{
	close(ping[1]);
	wait(NULL);
}

OPERATION(pipe) = { .prepare = prepare, .operate = operate, .finish = finish };
