/* One byte from a device that has no work with it. */
#include <fcntl.h>
#include <unistd.h>

#include "calls.h"

static int zero;

static void prepare(void)
{
	zero = open("/dev/zero", O_RDONLY);
	if (zero < 0)
		die("/dev/zero");
}

static void operate(int number)
{
	char c;

	(void)number;
	if (read(zero, &c, 1) != 1)
		die("read");
}

OPERATION(read) = { .prepare = prepare, .operate = operate };
