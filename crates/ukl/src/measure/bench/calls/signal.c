/* A signal to ourselves and its handler. */
#include <signal.h>

#include "calls.h"

static void handle(int number)
{
	(void)number;
}

static void prepare(void)
{
	signal(SIGUSR1, handle);
}

static void operate(int number)
{
	(void)number;
	raise(SIGUSR1);
}

OPERATION(signal) = { .prepare = prepare, .operate = operate };
