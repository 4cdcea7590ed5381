/* The system call that does least. */
#include <unistd.h>

#include "calls.h"

static void operate(int number)
{
	(void)number;
	getppid();
}

OPERATION(getppid) = { .operate = operate };
