/*
 * Ring-3 processes of either width beside the program, while it is busy. Both are small static
 * executables written out here; each makes system calls in a loop and checks that they keep its
 * registers.
 */
#include "suite.h"
#include <pthread.h>

#define ROUNDS "20000"

/* getpid in a loop through int 0x80; 42 when every register was kept and each answer was the same. */
__asm__(".pushsection .rodata\n"
	".balign 16\n"
	"beside_32:\n"
	"	.byte 0x7f, 'E', 'L', 'F', 1, 1, 1, 0\n"
	"	.zero 8\n"
	"	.short 2, 3\n"
	"	.long 1, 0x08048000 + 84, 52, 0, 0\n"
	"	.short 52, 32, 1, 0, 0, 0\n"
	"	.long 1, 0, 0x08048000, 0x08048000, beside_32_end - beside_32, beside_32_end - beside_32, 5, 4096\n"
	"	.code32\n"
	"	mov $20, %eax\n"
	"	int $0x80\n"
	"	mov %eax, %edi\n"
	"	mov $" ROUNDS ", %esi\n"
	"1:	mov $0x11111111, %ebx\n"
	"	mov $0x22222222, %ecx\n"
	"	mov $0x33333333, %edx\n"
	"	mov $0x44444444, %ebp\n"
	"	mov $20, %eax\n"
	"	int $0x80\n"
	"	cmp %eax, %edi\n"
	"	jne 2f\n"
	"	cmp $0x11111111, %ebx\n"
	"	jne 2f\n"
	"	cmp $0x22222222, %ecx\n"
	"	jne 2f\n"
	"	cmp $0x33333333, %edx\n"
	"	jne 2f\n"
	"	cmp $0x44444444, %ebp\n"
	"	jne 2f\n"
	"	push %esi\n"
	"	pop %eax\n"
	"	cmp %eax, %esi\n"
	"	jne 2f\n"
	"	dec %esi\n"
	"	jnz 1b\n"
	"	mov $42, %ebx\n"
	"	jmp 3f\n"
	"2:	mov $1, %ebx\n"
	"3:	mov $1, %eax\n"
	"	int $0x80\n"
	"	.code64\n"
	"beside_32_end:\n"
	/* The same in 64 bits. The bytes are the syscall instruction: the word would become a jump. */
	".balign 16\n"
	"beside_64:\n"
	"	.byte 0x7f, 'E', 'L', 'F', 2, 1, 1, 0\n"
	"	.zero 8\n"
	"	.short 2, 62\n"
	"	.long 1\n"
	"	.quad 0x400000 + 120, 64, 0\n"
	"	.long 0\n"
	"	.short 64, 56, 1, 0, 0, 0\n"
	"	.long 1, 5\n"
	"	.quad 0, 0x400000, 0x400000, beside_64_end - beside_64, beside_64_end - beside_64, 4096\n"
	"	mov $39, %eax\n"
	"	.byte 0x0f, 0x05\n"
	"	mov %eax, %r15d\n"
	"	mov $" ROUNDS ", %r14d\n"
	"	mov $0x1111111122222222, %rbx\n"
	"	mov %rsp, %r13\n"
	"1:	mov %rbx, %rdi\n"
	"	mov %rbx, %r8\n"
	"	mov %rbx, %rbp\n"
	"	mov $39, %eax\n"
	"	.byte 0x0f, 0x05\n"
	"	cmp %eax, %r15d\n"
	"	jne 2f\n"
	"	cmp %rbx, %rdi\n"
	"	jne 2f\n"
	"	cmp %rbx, %r8\n"
	"	jne 2f\n"
	"	cmp %rbx, %rbp\n"
	"	jne 2f\n"
	"	cmp %rsp, %r13\n"
	"	jne 2f\n"
	"	mov %cs, %eax\n"
	"	and $3, %eax\n"
	"	cmp $3, %eax\n"
	"	jne 2f\n"
	"	dec %r14d\n"
	"	jnz 1b\n"
	"	mov $42, %edi\n"
	"	jmp 3f\n"
	"2:	mov $1, %edi\n"
	"3:	mov $60, %eax\n"
	"	.byte 0x0f, 0x05\n"
	"beside_64_end:\n"
	".popsection\n");

extern const char beside_32[], beside_32_end[], beside_64[], beside_64_end[];

static volatile int stop;
static volatile long ticks;

static void tick(int number)
{
	(void)number;
	ticks++;
}

/* What the program does meanwhile: calls, page faults, floating point. */
static void *busy(void *unused)
{
	double sum = 0;

	for (unsigned long i = 1; !stop; i++) {
		sum += 1.0 / i;
		if (i % 64 == 0)
			syscall(SYS_getppid);
		if (i % 4096 == 0) {
			char *space = pages(4);

			memset(space, 1, 4 * PAGE);
			munmap(space, 4 * PAGE);
		}
	}
	return sum > 0 ? unused : NULL;
}

/* Four processes of the executable, while this one is busy. Says what became of them. */
static void run_beside(const char *name, const char *image, size_t size)
{
	int fd = scratch(name, image, size), bad = 0, cannot = 0;
	pthread_t thread[2];
	pid_t pid[4];

	close(fd);
	REQUIRE(chmod(name, 0755) == 0);
	handle(SIGALRM, tick, SA_RESTART);
	alarm_ms(1, 1);
	for (size_t i = 0; i < COUNT(thread); i++)
		REQUIRE(pthread_create(&thread[i], NULL, busy, (void *)image) == 0);
	for (size_t i = 0; i < COUNT(pid); i++) {
		pid[i] = split();
		if (pid[i] == 0) {
			execl(name, name, (char *)NULL);
			_exit(errno == ENOEXEC ? 100 : 101);
		}
	}
	for (size_t i = 0; i < COUNT(pid); i++) {
		int status = reap(pid[i]);

		cannot += WIFEXITED(status) && WEXITSTATUS(status) == 100;
		bad += !WIFEXITED(status) || WEXITSTATUS(status) != 42;
	}
	stop = 1;
	for (size_t i = 0; i < COUNT(thread); i++)
		pthread_join(thread[i], NULL);
	alarm_ms(0, 0);
	if (cannot == COUNT(pid)) {
		say("skip: no %s programs: the kernel has no CONFIG_IA32_EMULATION", name);
		return;
	}
	EXPECT(bad == 0);
	EXPECT(ticks > 0);
	say("%s: %zu processes, %d bad", name, COUNT(pid), bad);
}

CASE(beside_64_bit)
{
	run_beside("64-bit", beside_64, beside_64_end - beside_64);
}

CASE(beside_32_bit)
{
	run_beside("32-bit", beside_32, beside_32_end - beside_32);
}

FAMILY(beside, T(beside_64_bit), T(beside_32_bit));
