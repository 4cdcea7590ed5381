/* Writes as many mebibytes as its first argument says; with `timer`, lines under a timer that interrupts every call. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static void tick(int unused)
{
	(void)unused;
}

int main(int argc, char **argv)
{
	static char block[1 << 20];
	const char *what = argc > 1 ? argv[1] : "1";

	if (!strcmp(what, "streams")) {
		printf("terminals %d %d %d\n", isatty(0), isatty(1), isatty(2));
		fflush(stdout);
		FILE *again = fopen("/dev/stdout", "a");
		if (!again || fputs("opened again\n", again) == EOF || fclose(again))
			return 1;
		return write(2, "an error\n", 9) == 9 ? 0 : 1;
	}
	if (!strcmp(what, "timer")) {
		struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
		/* No SA_RESTART: what waits is interrupted. */
		sigaction(SIGALRM, &(struct sigaction){ .sa_handler = tick }, NULL);
		setitimer(ITIMER_REAL, &often, NULL);
		for (int i = 0; i < 30000; i++)
			printf("line %d\n", i);
		return 0;
	}
	for (int i = 0; i < (1 << 20); i++)
		block[i] = (i * 7 + i / 256) & 255;
	for (long i = 0; i < atol(what); i++)
		if (fwrite(block, 1, sizeof block, stdout) != sizeof block)
			return 5;
	return 0;
}
