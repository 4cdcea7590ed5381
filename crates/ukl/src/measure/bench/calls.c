/*
 * What single system calls, faults and signals take: the time stamp counter around
 * batches of each, of which the middle one is told. `calls: NAME OPERATIONS TICKS`.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCHES 51
#define OPERATIONS 200
#define PAGE 4096
/* Instructions of a window, and windows in which the timer interrupts: one of twenty. */
#define WINDOW 500000ul
#define INTERRUPTED 51

static int zero, null, ping[2], pong[2];
static char *pages;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void nothing(int i)
{
	__asm__ volatile("" : : "r"(i));
}

static void call_getppid(int i)
{
	(void)i;
	getppid();
}

static void read_zero(int i)
{
	char c;

	(void)i;
	if (read(zero, &c, 1) != 1)
		die("read");
}

static void write_null(int i)
{
	(void)i;
	if (write(null, "", 1) != 1)
		die("write");
}

static void read_clock(int i)
{
	struct timespec now;

	(void)i;
	clock_gettime(CLOCK_MONOTONIC, &now);
}

/* To the other process and back. */
static void ping_pong(int i)
{
	char c = 0;

	(void)i;
	if (write(ping[1], &c, 1) != 1 || read(pong[0], &c, 1) != 1)
		die("ping");
}

static void touch_page(int i)
{
	((volatile char *)pages)[i * PAGE] = 1;
}

static void give_back_pages(void)
{
	if (madvise(pages, OPERATIONS * PAGE, MADV_DONTNEED))
		die("madvise");
}

static void handle(int number)
{
	(void)number;
}

static void take_signal(int i)
{
	(void)i;
	raise(SIGUSR1);
}

static void start_other(void)
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

static int compare(const void *a, const void *b)
{
	const unsigned long long *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The middle one. */
static void tell(const char *name, int operations, unsigned long long *ticks, size_t count)
{
	qsort(ticks, count, sizeof *ticks, compare);
	printf("calls: %s %d %llu\n", name, operations, ticks[count / 2]);
}

static void measure(const char *name, void (*operation)(int), void (*between)(void))
{
	unsigned long long ticks[BATCHES];

	for (int batch = 0; batch < BATCHES; batch++) {
		if (between)
			between();
		ticks[batch] = __builtin_ia32_rdtsc();
		for (int i = 0; i < OPERATIONS; i++)
			operation(i);
		ticks[batch] = __builtin_ia32_rdtsc() - ticks[batch];
	}
	tell(name, OPERATIONS, ticks, BATCHES);
}

/* What a loop takes beyond its own instructions when the timer interrupts it. */
static void measure_timer(void)
{
	unsigned long long beyond[INTERRUPTED];

	for (int found = 0; found < INTERRUPTED;) {
		unsigned long turns = WINDOW / 2;
		unsigned long long ticks = __builtin_ia32_rdtsc();

		__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(turns) : : "cc");
		ticks = __builtin_ia32_rdtsc() - ticks;
		beyond[found] = ticks - WINDOW;
		/* The counter's own reading is less. */
		found += beyond[found] > 100;
	}
	tell("timer", 1, beyond, INTERRUPTED);
}

int main(void)
{
	static char said[4096];

	/* The console would be busy while the next is measured. */
	setvbuf(stdout, said, _IOFBF, sizeof said);
	zero = open("/dev/zero", O_RDONLY);
	null = open("/dev/null", O_WRONLY);
	pages = mmap(NULL, OPERATIONS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (zero < 0 || null < 0 || pages == MAP_FAILED)
		die("setup");
	signal(SIGUSR1, handle);
	start_other();
	measure("nothing", nothing, NULL);
	measure("getppid", call_getppid, NULL);
	measure("read", read_zero, NULL);
	measure("write", write_null, NULL);
	measure("clock_gettime", read_clock, NULL);
	measure("pipe", ping_pong, NULL);
	measure("fault", touch_page, give_back_pages);
	measure("signal", take_signal, NULL);
	measure_timer();
	close(ping[1]);
	wait(NULL);
	return 0;
}
