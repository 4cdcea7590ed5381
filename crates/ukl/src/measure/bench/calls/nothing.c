/* The loop and the call of a function, which every other operation has around it. */
#include "calls.h"

static void operate(int number)
{
	__asm__ volatile("" : : "r"(number));
}

OPERATION(nothing) = { .operate = operate };
