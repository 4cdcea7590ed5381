/* Functions of the kernel that the program calls by name: they fault, sleep, call back and are killed. */
#include "suite.h"
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>

/* In kernel.c */
long guest_touch(int *at);
long guest_touch_and_yield(int *at, long rounds);
long guest_see_access(long rounds);
long guest_call_back(long (*function)(long), long argument, long rounds);
long guest_call_back_slowly(long (*function)(long), long argument, long rounds);
long guest_watch(long pid);
long guest_watched(void);
long guest_sleep(long milliseconds);
/* In Linux itself */
void sort(void *base, size_t number, size_t size, int (*compare)(const void *, const void *), void (*swap)(void *, void *, int));

/* Both on one processor, so that each leaves it to the other. */
static void share_processor(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	EXPECT(sched_setaffinity(0, sizeof(set), &set) == 0);
}

static volatile sig_atomic_t ticks;
static void tick(int number)
{
	(void)number;
	ticks++;
}

static void touch_pages(void)
{
	char *at = pages(64);
	long sum = 0;

	for (int i = 0; i < 64; i++)
		sum += guest_touch((int *)(at + i * PAGE));
	say("sum %ld", sum);
}

CASE(call_touches_pages)
{
	say("%s", fate(in_child(touch_pages)));
}

static int *wild;
static void touch_wild(void)
{
	guest_touch(wild);
}

/* A pointer to nowhere ends the process, and nothing else. */
CASE(call_with_a_bad_pointer)
{
	static const unsigned long places[] = { 16, 0x700000000000, 0x8000000000000000, 0xffffc00000000000, -4096UL };

	for (size_t i = 0; i < COUNT(places); i++) {
		wild = (int *)places[i];
		say("%s", fate(in_child(touch_wild)));
	}
	wild = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	say("read only: %s", fate(in_child(touch_wild)));
}

static void sleep_killed(void)
{
	guest_sleep(100000);
}

CASE(call_is_killed)
{
	pid_t pid = split();

	if (pid == 0) {
		sleep_killed();
		_exit(0);
	}
	sleep_ms(50);
	kill(pid, SIGKILL);
	say("%s", fate(reap(pid)));
}

/* What one task may do does not follow the processor to the next. */
CASE(call_keeps_its_access)
{
	static int word;
	pid_t pid;

	share_processor();
	pid = split();
	if (pid == 0) {
		guest_touch_and_yield(&word, 100000);
		_exit(0);
	}
	say("seen %ld", guest_see_access(2000));
	kill(pid, SIGKILL);
	say("%s", fate(reap(pid)));
}

#define CALL_BASE 0x554b0000L

static void call_numbers(void)
{
	EXPECT(setgid(65534) == 0 && setuid(65534) == 0);
	/* In app mode the first number is a call that anybody may make. */
	for (long i = 0;; i++)
		syscall(CALL_BASE + (i & 1 || app_mode() ? 0xffff : 0));
}

/* A number is no call: whoever asks for one and is refused counts as anybody else. */
CASE(call_refused_is_none)
{
	pid_t pid = split();
	long runs = 0, inside = 0;

	if (pid == 0)
		call_numbers();
	for (int i = 0; i < 200; i++) {
		long seen;

		EXPECT(guest_watch(pid) == 0);
		sleep_ms(1);
		seen = guest_watched();
		runs += seen / 1000;
		inside += seen % 1000;
	}
	say("looks %d, inside %ld", runs > 100, inside);
	kill(pid, SIGKILL);
	say("%s", fate(reap(pid)));
}

static int numbers[20000];
static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void exchange(void *a, void *b, int size)
{
	int number = *(int *)a;

	(void)size;
	*(int *)a = *(int *)b;
	*(int *)b = number;
}

/*
 * KASAN takes an access of Linux's own code to the program's memory for a mistake. With it, the program
 * exchanges its numbers itself; elsewhere the kernel does.
 */
static void (*exchange_for(void))(void *, void *, int)
{
	int checked = system("/bin/busybox grep -q ' kasan_report$' /proc/kallsyms 2>/dev/null") == 0;

	return checked ? exchange : NULL;
}

static void sort_numbers(void)
{
	void (*swap)(void *, void *, int) = exchange_for();
	unsigned seed = 1;
	int wrong = 0;

	handle(SIGALRM, tick, SA_RESTART);
	alarm_ms(1, 1);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < COUNT(numbers); i++)
			numbers[i] = (seed = seed * 1664525 + 1013904223) >> 8;
		sort(numbers, COUNT(numbers), sizeof(numbers[0]), compare, swap);
		for (size_t i = 1; i < COUNT(numbers); i++)
			wrong += numbers[i - 1] > numbers[i];
	}
	alarm_ms(0, 0);
	say("wrong %d, signals %d", wrong, ticks > 0);
}

/* The kernel calls a function of the program, and is interrupted there. */
CASE(call_back)
{
	int status = in_child(sort_numbers);

	say("%s", fate(status));
	EXPECT(!app_mode() || status == 0);
}

static char *area;
static long fault_page(long count)
{
	area[count % 256 * PAGE]++;
	return count + 1;
}

static void fault_inside(void)
{
	area = pages(256);
	say("count %ld", guest_call_back(fault_page, 0, 300));
	say("twice %d, once %d", area[0], area[255 * PAGE]);
	area = (char *)16;
	guest_call_back(fault_page, 0, 1);
}

CASE(call_back_faults)
{
	int status = in_child(fault_inside);

	say("%s", fate(status));
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static long call_again(long number)
{
	return syscall(number);
}

/* A processor that lets the kernel run ring 3's code where a case means it to be stopped. */
static int without_smep(void)
{
	if (system("/bin/busybox grep -qw smep /proc/cpuinfo") == 0)
		return 0;
	say("skip: without SMEP the kernel would run code of ring 3");
	return 1;
}

static void call_inside(void)
{
	guest_call_back(call_again, SYS_getppid, 1);
}

/* The kernel stack is in use: a system call from there ends the process. */
CASE(call_back_makes_a_call)
{
	if (without_smep())
		return;
	say("%s", fate(in_child(call_inside)));
}

static sigjmp_buf out;
static long jump_out(long number)
{
	if (number)
		longjmp(out, 1);
	return number;
}

static void jump_inside(void)
{
	if (setjmp(out) == 0)
		guest_call_back(jump_out, 1, 1);
	getppid();
	_exit(0);
}

/* The function never goes on. So the process does not, either. */
CASE(call_back_jumps_out)
{
	if (without_smep())
		return;
	say("%s", fate(in_child(jump_inside)));
}

static long trap_there(long kind)
{
	static volatile long zero;

	if (kind == 0)
		__asm__ volatile("ud2");
	if (kind == 1)
		__asm__ volatile("xor %%edx, %%edx; idivq %0" :: "m"(zero), "a"(1) : "rdx", "cc");
	if (kind == 2)
		__asm__ volatile("int3");
	if (kind == 3)
		__asm__ volatile("mov %0, %%rax; mov (%%rax), %%rax" :: "r"(0x8000000000000000UL) : "rax");
	if (kind == 4)
		__asm__ volatile("jmp *%0" :: "r"(16L));
	return kind;
}

static long kind;
static void trap_inside(void)
{
	guest_call_back(trap_there, kind, 1);
}

CASE(call_back_traps)
{
	if (without_smep())
		return;
	for (kind = 0; kind < 5; kind++)
		say("%s", fate(in_child(trap_inside)));
}

/* Killed while the kernel calls back, the process ends at once or with the call. */
CASE(call_back_is_killed)
{
	pid_t pid = split();

	area = pages(256);
	if (pid == 0) {
		guest_call_back_slowly(fault_page, 0, 2000);
		_exit(5);
	}
	sleep_ms(2);
	kill(pid, SIGKILL);
	say("%s", fate(reap(pid)));
}

/* Floating point in a function that the kernel calls back. */
static long own_registers(long wrong)
{
	unsigned control;
	double value = 0.25, now;

	__asm__ volatile("stmxcsr %0" : "=m"(control));
	wrong += (control & 0x6000) != 0x6000;
	__asm__ volatile("movsd %1, %%xmm6; movsd %%xmm6, %0" : "=m"(now) : "m"(value) : "xmm6");
	return wrong + (now != value);
}

static void compute_inside(void)
{
	unsigned control, saved;

	/* Rounding to zero, which nobody else here does. */
	__asm__ volatile("stmxcsr %0" : "=m"(saved));
	control = saved | 0x6000;
	__asm__ volatile("ldmxcsr %0" :: "m"(control));
	say("wrong inside %ld", guest_call_back_slowly(own_registers, 0, 5000));
	__asm__ volatile("ldmxcsr %0" :: "m"(saved));
}

static void compute_beside(void)
{
	double value = 1.5, now;
	long wrong = 0;

	for (;;) {
		__asm__ volatile("movsd %1, %%xmm6; mov $24, %%eax; syscall; movsd %%xmm6, %0"
				 : "=m"(now) : "m"(value) : "rax", "rcx", "r11", "xmm6", "memory");
		wrong += now != value;
		if (getppid() == 1 || wrong)
			_exit(wrong ? 1 : 0);
	}
}

/* The registers are the program's there, too, and others keep theirs. */
CASE(call_back_computes)
{
	pid_t pid;
	int status;

	share_processor();
	pid = split();
	if (pid == 0)
		compute_beside();
	status = in_child(compute_inside);
	say("%s", fate(status));
	EXPECT(!app_mode() || status == 0);
	kill(pid, SIGTERM);
	say("beside %s", fate(reap(pid)));
}

FAMILY(call, T(call_touches_pages), T(call_with_a_bad_pointer), T(call_is_killed), T(call_keeps_its_access),
       T(call_refused_is_none), T(call_back), T(call_back_faults), T(call_back_makes_a_call), T(call_back_jumps_out),
       T(call_back_traps), T(call_back_is_killed), T(call_back_computes));
