/* Says hello, and where it runs: privilege level and address of its code. */
#include <stdio.h>

int main(void)
{
	unsigned short cs;

	__asm__("mov %%cs, %0" : "=r"(cs));
	printf("hello, world\n");
	printf("mode: cs=%x main=%p\n", cs, (void *)main);
	return 0;
}
