/* The first write to a page. */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/mman.h>

#include "calls.h"

#define PAGE 4096

static char *pages;

static void prepare(void)
{
	pages = mmap(NULL, OPERATIONS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		die("mmap");
}

static void operate(int number)
{
	((volatile char *)pages)[number * PAGE] = 1;
}

static void give_back(void)
{
	if (madvise(pages, OPERATIONS * PAGE, MADV_DONTNEED))
		die("madvise");
}

OPERATION(fault) = { .prepare = prepare, .operate = operate, .between = give_back };
