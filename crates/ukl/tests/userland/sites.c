/* System calls in every way that C can write them; exits with 0 when each answers right. */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

long from_preprocessed(void);
long from_plain(void);

static long inline_call(long number)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number) : "rcx", "r11", "memory");
	return result;
}

/* Two sites in one blob, upper case, a separator and a branch over a site. */
static long blob(void)
{
	long first, second;

	__asm__ volatile("SYSCALL ; mov %%rax, %1\n\t"
			 "test %%rax, %%rax; js 1f; mov %2, %%eax; syscall\n1:"
			 : "=a"(second), "=&r"(first)
			 : "i"(SYS_getpid), "0"((long)SYS_getpid)
			 : "rcx", "r11", "memory");
	return first == second ? first : -1;
}

int main(void)
{
	long pid = getpid();

	if (inline_call(SYS_getpid) != pid)
		return 1;
	if (blob() != pid)
		return 2;
	if (syscall(SYS_getpid) != pid)
		return 3;
	if (from_preprocessed() != pid)
		return 4;
	return from_plain() == pid ? 0 : 5;
}
