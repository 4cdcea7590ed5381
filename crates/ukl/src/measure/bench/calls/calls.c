/*
 * What single system calls, faults and signals take: the time stamp counter around
 * batches of each, of which the middle one is told. `calls: NAME OPERATIONS TICKS`.
 */
#include <stdio.h>
#include <stdlib.h>

#include "calls.h"

#define BATCHES 51

/* table.h has a line `ROW(name)` for each operation. */
#define ROW(name) extern OPERATION(name);
#include "table.h"
#undef ROW

static const struct {
	const char *name;
	const struct operation *operation;
} rows[] = {
#define ROW(name) { #name, &operation_##name },
#include "table.h"
};

#define ROWS (sizeof rows / sizeof *rows)

void die(const char *what)
{
	perror(what);
	exit(1);
}

static int compare(const void *a, const void *b)
{
	const unsigned long long *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void tell(const char *name, int operations, unsigned long long *ticks, int count)
{
	qsort(ticks, count, sizeof *ticks, compare);
	printf("calls: %s %d %llu\n", name, operations, ticks[count / 2]);
}

static void measure(const char *name, void (*operate)(int), void (*between)(void))
{
	unsigned long long ticks[BATCHES];

	for (int batch = 0; batch < BATCHES; batch++) {
		if (between)
			between();
		ticks[batch] = __builtin_ia32_rdtsc();
		for (int i = 0; i < OPERATIONS; i++)
			operate(i);
		ticks[batch] = __builtin_ia32_rdtsc() - ticks[batch];
	}
	tell(name, OPERATIONS, ticks, BATCHES);
}

int main(void)
{
	static char said[4096];

	/* The console would be busy while the next is measured. */
	setvbuf(stdout, said, _IOFBF, sizeof said);
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].operation->prepare)
			rows[i].operation->prepare();
	for (size_t i = 0; i < ROWS; i++) {
		const struct operation *row = rows[i].operation;

		if (row->measure)
			row->measure(rows[i].name);
		else
			measure(rows[i].name, row->operate, row->between);
	}
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].operation->finish)
			rows[i].operation->finish();
	return 0;
}
