/* Sections of its own, constructors in order, weak symbols, common symbols, a canary. */
#include <stdio.h>
#include <string.h>

#define ENTRY(n) static const int entry_##n __attribute__((section("entries"), used)) = n
ENTRY(1);
ENTRY(2);
ENTRY(39);
extern const int __start_entries[], __stop_entries[];

__attribute__((section(".odd.text"))) int odd_code(int x) { return x + 1; }
__attribute__((section("odd_section"))) int odd_data = 5;

extern int missing __attribute__((weak));
int common[1000];
extern char _end[];

static char order[8];
__attribute__((constructor(201))) static void second(void) { strcat(order, "2"); }
__attribute__((constructor(101))) static void first(void) { strcat(order, "1"); }
__attribute__((constructor)) static void third(void) { strcat(order, "3"); }
__attribute__((destructor)) static void last(void) { puts("destructor"); }

__attribute__((noinline)) static int sum(const char *text)
{
	char copy[40];
	int result = 0;

	strcpy(copy, text);
	for (char *c = copy; *c; c++)
		result += *c;
	return result;
}

int main(int argc, char **argv)
{
	int total = 0;

	(void)argv;
	for (const int *entry = __start_entries; entry < __stop_entries; entry++)
		total += *entry;
	common[argc] = 1;
	printf("%d %d %d %d %s %d %d\n", total, odd_code(1), odd_data, &missing == 0, order, common[1],
	       (char *)&common[999] < _end);
	printf("%d %.3f\n", sum("canary"), 2.0 / 3);
	return 0;
}
