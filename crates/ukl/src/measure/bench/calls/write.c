/* One byte to a device that throws it away. */
#include <fcntl.h>
#include <unistd.h>

#include "calls.h"

static int null;

static void prepare(void)
{
	null = open("/dev/null", O_WRONLY);
	if (null < 0)
		die("/dev/null");
}

static void operate(int number)
{
	(void)number;
	if (write(null, "", 1) != 1)
		die("write");
}

OPERATION(write) = { .prepare = prepare, .operate = operate };
