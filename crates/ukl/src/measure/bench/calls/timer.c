/* What a loop takes beyond its own instructions when the timer interrupts it. */
#include "calls.h"

/* Instructions of a window, and windows in which the timer interrupts: one of twenty. */
#define WINDOW 500000ul
#define INTERRUPTED 51

static void measure(const char *name)
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
	tell(name, 1, beyond, INTERRUPTED);
}

OPERATION(timer) = { .measure = measure };
