#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* In kernel.c */
void rot13(char *text);
void rot13_slowly(char *text);
long mix(long a, long b, long c, long d, long e, long f);
long checked_length(const char *text);
long whoami(void);

/* In Linux itself */
unsigned long int_sqrt(unsigned long x);
unsigned long gcd(unsigned long a, unsigned long b);

static char global[] = "Uryyb, xreary!";

/* A page that nobody has touched: the kernel's function takes the page fault. */
static char *fresh_page(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(int argc, char **argv)
{
	char local[] = "Stack";
	char *page = fresh_page();
	char *heap = strdup("Heap");
	int status;

	/* A wild pointer: the function fails as kernel code does, and takes the process with it. */
	if (argc > 1 && strcmp(argv[1], "wild") == 0)
		rot13((char *)16);

	setvbuf(stdout, NULL, _IONBF, 0);
	rot13(global);
	printf("%s\n", global);
	rot13(local);
	rot13(heap);
	rot13(page);
	printf("%s %s <%s>\n", local, heap, page);

	/* Written by a child: copied for it alone. */
	if (fork() == 0) {
		rot13(global);
		printf("child: %s\n", global);
		_exit(0);
	}
	wait(&status);
	printf("parent: %s\n", global);

	rot13_slowly(heap);
	printf("%s\n", heap);
	printf("%ld\n", mix(1, 2, 3, 4, 5, 6) - (1L << 40));
	printf("%ld %ld\n", checked_length("eleven long"), checked_length((char *)16));
	printf("%s\n", whoami() == getpid() ? "current is this process" : "another process");
	printf("%lu %lu\n", int_sqrt(1000000), gcd(12, 18));

	/* From ring 3 it takes a privilege; the program in the kernel has it. */
	if (fork() == 0) {
		unsigned short cs;

		__asm__("mov %%cs, %0" : "=r"(cs));
		if (setuid(65534))
			_exit(2);
		_exit(int_sqrt(81) == ((cs & 3) ? -1UL : 9) ? 0 : 1);
	}
	wait(&status);
	printf("privilege: %s\n", status == 0 ? "as it should be" : "wrong");
	return 0;
}
