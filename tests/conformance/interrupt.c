/* Interrupts that arrive while the stack is anything but a stack. */
#include "suite.h"
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <ucontext.h>

/* Spins @count times with @sp as stack pointer and touches no memory. Returns the pointer it had. */
unsigned long spin_with_stack(unsigned long sp, unsigned long count);
/* Pushes a pattern over @words words from @top down, slowly, and checks it; 0 when it is right. */
unsigned long push_and_check(void *top, unsigned long words, unsigned long pause);
/* Fills 128 bytes below the stack pointer, spins, and counts the words that changed. */
unsigned long red_zone(unsigned long count);
__asm__(".text\n.globl spin_with_stack\nspin_with_stack:\n"
	" mov %rsp, %rdx\n mov %rdi, %rsp\n1: dec %rsi\n jnz 1b\n mov %rsp, %rax\n mov %rdx, %rsp\n ret\n"
	".globl push_and_check\npush_and_check:\n"
	" mov %rsp, %r8\n mov %rdi, %rsp\n mov %rsi, %rcx\n"
	"1: push %rcx\n mov %rdx, %r9\n2: dec %r9\n jnz 2b\n dec %rcx\n jnz 1b\n"
	" xor %eax, %eax\n mov $1, %ecx\n3: pop %r9\n cmp %rcx, %r9\n je 4f\n inc %rax\n4: inc %rcx\n cmp %rsi, %rcx\n jbe 3b\n"
	" mov %r8, %rsp\n ret\n"
	".globl red_zone\nred_zone:\n"
	" mov $16, %ecx\n1: mov %rcx, %rdx\n neg %rdx\n mov %rcx, (%rsp,%rdx,8)\n loop 1b\n"
	"2: dec %rdi\n jnz 2b\n"
	" xor %eax, %eax\n mov $16, %ecx\n3: mov %rcx, %rdx\n neg %rdx\n cmp %rcx, (%rsp,%rdx,8)\n je 4f\n inc %rax\n"
	"4: loop 3b\n ret\n");

static volatile sig_atomic_t ticks;
static void tick(int number)
{
	(void)number;
	ticks++;
}

static void with_ticks(void)
{
	alternate_stack();
	handle(SIGALRM, tick, SA_ONSTACK);
	alarm_ms(1, 1);
}

static pid_t rival(void)
{
	pid_t pid = split();

	if (pid == 0) {
		for (;;)
			sched_yield();
	}
	return pid;
}

static const unsigned long strange[] = {
	0, 8, 0x7000, 0xdeadbeef, 0x7ffffffff000, 0x800000000000, 0x8000000000000000, 0xffff800000000000,
	0xfffffc0000000000, 0xffffffffffffffff,
};

/* No signals: interrupts and switches alone must leave the process as it is. */
CASE(interrupt_strange_stack)
{
	pid_t pid = rival();
	int wrong = 0;

	for (size_t i = 0; i < COUNT(strange); i++)
		wrong += spin_with_stack(strange[i], 20000000) != strange[i];
	kill(pid, SIGKILL);
	say("wrong %d", wrong);
}

/* With handlers on an alternate stack the process goes on as well. */
CASE(interrupt_strange_stack_and_signals)
{
	int wrong = 0;

	with_ticks();
	for (size_t i = 0; i < COUNT(strange); i++)
		wrong += spin_with_stack(strange[i], 10000000) != strange[i];
	alarm_ms(0, 0);
	say("wrong %d, signals %d", wrong, ticks > 10);
}

CASE(interrupt_dropped_stack)
{
	char *stack = pages(64);
	unsigned long wrong = 0;

	with_ticks();
	for (int i = 0; i < (full_run ? 2000 : 60); i++) {
		EXPECT(madvise(stack, 64 * PAGE, MADV_DONTNEED) == 0);
		wrong += push_and_check(stack + 64 * PAGE, 64 * 512 - 8, 8);
	}
	alarm_ms(0, 0);
	say("wrong %lu, signals %d", wrong, ticks > 10);
	sleep_ms(20);
	say("time goes on");
}

CASE(interrupt_copy_on_write_stack)
{
	char *stack = pages(64);
	unsigned long wrong = 0;
	pid_t pid;

	memset(stack, 1, 64 * PAGE);
	with_ticks();
	for (int i = 0; i < (full_run ? 1000 : 30); i++) {
		pid = split();
		if (pid == 0) {
			_exit(push_and_check(stack + 64 * PAGE, 64 * 512 - 8, 8) != 0);
		}
		wrong += push_and_check(stack + 64 * PAGE, 64 * 512 - 8, 8);
		wrong += reap(pid) != 0;
	}
	alarm_ms(0, 0);
	say("wrong %lu, signals %d", wrong, ticks > 10);
}

static void unprotect(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	mprotect((void *)((uintptr_t)info->si_addr & -PAGE), PAGE, PROT_READ | PROT_WRITE);
	ticks++;
}

/* Each page of the stack faults and is repaired by a handler, between timer signals. */
CASE(interrupt_protected_stack)
{
	char *stack = pages(64);
	unsigned long wrong = 0;
	int repaired;

	with_ticks();
	handle_info(SIGSEGV, unprotect, SA_ONSTACK);
	for (int i = 0; i < (full_run ? 500 : 20); i++) {
		EXPECT(mprotect(stack, 64 * PAGE, i & 1 ? PROT_READ : PROT_NONE) == 0);
		wrong += push_and_check(stack + 64 * PAGE, 64 * 512 - 8, 4);
	}
	alarm_ms(0, 0);
	repaired = ticks >= 20 * 64;
	say("wrong %lu, repaired %d", wrong, repaired);
}

CASE(interrupt_red_zone)
{
	unsigned long wrong = 0;

	handle(SIGALRM, tick, 0);
	alarm_ms(1, 1);
	for (int i = 0; i < 40; i++)
		wrong += red_zone(3000000);
	alarm_ms(0, 0);
	say("wrong %lu, signals %d", wrong, ticks > 10);
}

static volatile int stop;
static void *disturb(void *at)
{
	char *page = at;

	while (!stop) {
		/* Each of these interrupts the other processors that run this program. */
		mprotect(page, PAGE, PROT_READ);
		mprotect(page, PAGE, PROT_READ | PROT_WRITE);
		page[0]++;
		madvise(page, PAGE, MADV_DONTNEED);
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
	}
	return NULL;
}

CASE(interrupt_from_other_processors)
{
	pthread_t thread;
	int wrong = 0;

	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
	pthread_create(&thread, NULL, disturb, pages(1));
	for (size_t i = 0; i < COUNT(strange); i++)
		wrong += spin_with_stack(strange[i], 20000000) != strange[i];
	stop = 1;
	pthread_join(thread, NULL);
	say("wrong %d", wrong);
}

/* The stack page comes and goes under the program by another thread's hands. */
static void *steal(void *stack)
{
	while (!stop) {
		mprotect(stack, 16 * PAGE, PROT_NONE);
		mprotect(stack, 16 * PAGE, PROT_READ | PROT_WRITE);
		sched_yield();
	}
	return NULL;
}

CASE(interrupt_stolen_stack)
{
	char *stack = pages(16);
	unsigned long wrong = 0;
	pthread_t thread;
	int i;

	with_ticks();
	handle_info(SIGSEGV, unprotect, SA_ONSTACK);
	pthread_create(&thread, NULL, steal, stack);
	for (i = 0; i < (full_run ? 2000 : 100); i++)
		wrong += push_and_check(stack + 16 * PAGE, 16 * 512 - 8, 4);
	alarm_ms(0, 0);
	stop = 1;
	pthread_join(thread, NULL);
	say("wrong %lu, rounds %d", wrong, i > 0);
}

/* A system call needs no stack at all. */
CASE(interrupt_call_without_stack)
{
	int wrong = 0;

	with_ticks();
	for (int round = 0; round < 200; round++)
		for (size_t i = 0; i < COUNT(strange); i++) {
			long pid;

			__asm__ volatile("mov %%rsp, %%rbx; mov %1, %%rsp; mov $39, %%eax; syscall; mov %%rbx, %%rsp"
					 : "=a"(pid) : "r"(strange[i]) : "rbx", "rcx", "r11", "memory");
			wrong += pid != getpid();
		}
	alarm_ms(0, 0);
	say("wrong %d", wrong);
}

FAMILY(interrupt, T(interrupt_strange_stack), T(interrupt_strange_stack_and_signals), T(interrupt_dropped_stack),
       T(interrupt_copy_on_write_stack), T(interrupt_protected_stack), T(interrupt_red_zone),
       T(interrupt_from_other_processors), T(interrupt_stolen_stack), T(interrupt_call_without_stack));
