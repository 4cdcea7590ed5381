/*
 * The 14 ways in which an earlier kernel of this kind (UKL on Linux 5.14 and 6.3) broke the promise,
 * each as a case. Some have finer cases in their own family.
 */
#include "suite.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <ucontext.h>

static volatile sig_atomic_t ticks;
static void tick(int number)
{
	(void)number;
	ticks++;
}

unsigned long push_and_check(void *top, unsigned long words, unsigned long pause);

/* An interrupt that met an absent stack page was lost, and its level at the interrupt controller
 * stayed blocked: then no timer came any more. */
CASE(hole_01_lost_interrupt)
{
	char *stack = pages(256);
	unsigned long wrong = 0;
	long start = now_ms();

	alternate_stack();
	handle(SIGALRM, tick, SA_ONSTACK);
	alarm_ms(1, 1);
	while (ticks < 100 && now_ms() - start < 10000) {
		madvise(stack, 256 * PAGE, MADV_DONTNEED);
		wrong += push_and_check(stack + 256 * PAGE, 256 * 512 - 8, 2);
	}
	/* Before anything is said: a write that a signal interrupts is not repeated. */
	alarm_ms(0, 0);
	say("signals kept coming %d, wrong %lu", ticks >= 100, wrong);
	start = now_ms();
	sleep_ms(50);
	say("slept %d", now_ms() - start >= 49 && now_ms() - start < 5000);
}

/* A read from an absent stack page was reported as a write. */
static void show_error(int number, siginfo_t *info, void *context)
{
	(void)number;
	say("error %x, code %d", (unsigned)((ucontext_t *)context)->uc_mcontext.gregs[REG_ERR], info->si_code);
	fflush(stdout);
	_exit(0);
}

static void pop_from_nothing(void)
{
	alternate_stack();
	handle_info(SIGSEGV, show_error, SA_ONSTACK);
	__asm__ volatile("mov $0x7000, %%rsp; pop %%rax" ::: "memory");
}

static void push_to_read_only(void)
{
	char *at = pages(1);

	memset(at, 1, PAGE);
	mprotect(at, PAGE, PROT_READ);
	alternate_stack();
	handle_info(SIGSEGV, show_error, SA_ONSTACK);
	__asm__ volatile("mov %0, %%rsp; push %%rax" :: "r"(at + PAGE) : "memory");
}

CASE(hole_02_fault_kind)
{
	say("%s", fate(in_child(pop_from_nothing)));
	say("%s", fate(in_child(push_to_read_only)));
}

static void use_bad_pointer(void)
{
	__asm__ volatile("movl $1, 16" ::: "memory");
}

CASE(hole_03_bad_pointer_is_a_signal)
{
	say("%s", fate(in_child(use_bad_pointer)));
	say("the system goes on");
}

static void try_trigger(void)
{
	EXPECT(setgid(65534) == 0 && setuid(65534) == 0);
	execl("/UKL", "/UKL", "role", "exit", "0", (char *)NULL);
	say("%s", errno_name(errno));
	/* Its pointers are trusted no more than before. */
	say("%s", answer(syscall(SYS_uname, 0xffffffff81000000)));
}

CASE(hole_04_who_may_start)
{
	say("%s", fate(in_child(try_trigger)));
}

static socklen_t length = sizeof(int);
static int value;
static const char *const arguments[] = { "sh", "-c", "exit 23", NULL };

CASE(hole_05_other_programs_and_globals)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t pid;

	EXPECT(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) == 0);
	say("type %d, length %d", value, (int)length);
	pid = split();
	if (pid == 0) {
		execv("/bin/sh", (char *const *)arguments);
		_exit(97);
	}
	say("shell %s", fate(reap(pid)));
	say("%s", fate(system("exit 24")));
}

static char pinned[8192] __attribute__((aligned(4096))) = "pinned";
static uint32_t shared_word;

CASE(hole_06_pinned_globals)
{
	struct iovec local = { &value, 4 }, remote = { pinned, 4 }, gift = { pinned, 4096 };
	int fd[2];
	char back[8];

	say("mlock %s", answer(mlock(pinned, 4096)));
	say("mprotect %s", answer(mprotect(pinned + 4096, 4096, PROT_READ)));
	say("madvise %s", answer(madvise(pinned + 4096, 4096, MADV_SEQUENTIAL)));
	say("shared futex %s", answer(syscall(SYS_futex, &shared_word, FUTEX_WAKE, 1, NULL, NULL, 0)));
	say("process_vm %s", answer(process_vm_readv(getpid(), &local, 1, &remote, 1, 0)));
	EXPECT(pipe(fd) == 0);
	say("vmsplice %s", answer(vmsplice(fd[1], &gift, 1, 0)));
	EXPECT(read(fd[0], back, 6) == 6 && memcmp(back, "pinned", 6) == 0);
}

static int in_data = 1, in_bss;
CASE(hole_07_globals_after_fork)
{
	pid_t pid = split();

	if (pid == 0) {
		in_data = in_bss = 50;
		_exit(in_data);
	}
	say("%s", fate(reap(pid)));
	say("own %d %d", in_data, in_bss);
	pid = vfork();
	if (pid == 0) {
		in_bss = 60;
		_exit(1);
	}
	say("%s", fate(reap(pid)));
	say("shared by vfork %d", in_bss);
}

CASE(hole_08_signals_and_restart)
{
	int fd[2];
	char c = 0;
	long start = now_ms(), sum = 0;
	pid_t pid;

	handle(SIGALRM, tick, SA_RESTART);
	EXPECT(pipe(fd) == 0);
	pid = split();
	if (pid == 0) {
		sleep_ms(100);
		write(fd[1], "y", 1);
		_exit(0);
	}
	alarm_ms(5, 5);
	say("read %s", answer(read(fd[0], &c, 1)));
	say("byte %c", c);
	/* Interrupted anywhere, by handlers that use every flag. */
	for (long i = 0; now_ms() - start < 300; i++)
		for (int n = 0; n < 1000; n++)
			sum += n;
	alarm_ms(0, 0);
	say("signals %d", ticks > 5);
	say("sum right %d", sum % 499500 == 0);
	say("%s", fate(reap(pid)));
}

/* An i386 program: mov $42, %ebx; loops; mov $1, %eax; int $0x80. */
static const unsigned char program_32[] = {
	0x7f, 'E', 'L', 'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 1, 0, 0, 0, 0x54, 0x80, 0x04, 0x08,
	0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x34, 0, 0x20, 0, 1, 0, 0, 0, 0, 0, 0, 0,
	1, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x04, 0x08, 0, 0x80, 0x04, 0x08, 0x70, 0, 0, 0, 0x70, 0, 0, 0, 5, 0, 0, 0,
	0, 0x10, 0, 0,
	0xb9, 0, 0, 0, 4, 0x49, 0x75, 0xfd, 0xbb, 42, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0xcd, 0x80, 0, 0, 0, 0, 0, 0, 0, 0,
};

/* Without 32-bit support in the kernel (the base configuration) exec refuses it. */
CASE(hole_09_ordinary_programs_beside)
{
	pid_t list[3];
	volatile long sum = 0;

	close(scratch("program32", program_32, sizeof(program_32)));
	EXPECT(chmod("program32", 0755) == 0);
	for (int i = 0; i < 3; i++) {
		list[i] = split();
		if (list[i] == 0) {
			execl(i < 2 ? "./program32" : "/bin/sh", "sh", "-c", "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; exit 42", (char *)NULL);
			_exit(errno == ENOEXEC ? 66 : 67);
		}
	}
	handle(SIGALRM, tick, SA_RESTART);
	alarm_ms(2, 2);
	for (int i = 0; i < 20000000; i++)
		sum += i;
	alarm_ms(0, 0);
	for (int i = 0; i < 3; i++)
		say("%s", fate(reap(list[i])));
	say("sum %ld", sum);
}

/* Debug exceptions arrive with the kernel's GS whatever the program was doing. */
static volatile long watched;
static void call_and_touch(void)
{
	for (int i = 0; i < 50; i++) {
		watched = i;
		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &(struct timespec){ 0 });
	}
	_exit(9);
}

CASE(hole_10_debug_exceptions)
{
	pid_t pid = split();
	int status, stops = 0;

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		call_and_touch();
	}
	waitpid(pid, &status, 0);
	ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), (long)&watched);
	ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]), 0x90001L);
	for (;;) {
		ptrace(stops % 7 == 3 ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, NULL, NULL);
		waitpid(pid, &status, 0);
		if (!WIFSTOPPED(status))
			break;
		stops++;
	}
	say("%s", fate(status));
	say("stops %d", stops >= 50);
}

/* The way back wrote below the stack pointer, with interrupts off. */
CASE(hole_11_nothing_below_the_stack)
{
	char *at = pages(3);
	long pid, wrong = 0;

	EXPECT(munmap(at, PAGE) == 0);
	for (int i = 0; i < 1000; i++) {
		memset(at + PAGE, 0x55, 64);
		/* The lowest word of a page with nothing below it. */
		__asm__ volatile("mov %%rsp, %%rbx; mov %1, %%rsp; mov $39, %%eax; syscall; mov %%rbx, %%rsp"
				 : "=a"(pid) : "r"(at + PAGE) : "rbx", "rcx", "r11", "memory");
		wrong += pid != getpid();
		/* And 128 bytes below it hold what they held. */
		memset(at + PAGE, 0x66, 512);
		__asm__ volatile("mov %%rsp, %%rbx; mov %1, %%rsp; mov $39, %%eax; syscall; mov %%rbx, %%rsp"
				 : "=a"(pid) : "r"(at + PAGE + 512) : "rbx", "rcx", "r11", "memory");
		for (int n = 0; n < 512; n++)
			wrong += at[PAGE + n] != 0x66;
	}
	say("wrong %ld", wrong);
}

static void *keep_numbers(void *seed)
{
	double x = (long)seed, before = x;
	long wrong = 0;

	for (int i = 0; i < 2000; i++) {
		__asm__ volatile("movsd %1, %%xmm6; mov $24, %%eax; syscall; movsd %%xmm6, %0"
				 : "=m"(x) : "m"(before) : "rax", "rcx", "r11", "xmm6", "memory");
		wrong += x != before;
	}
	return (void *)wrong;
}

/* Floating point state stayed behind when a call switched to another process. */
CASE(hole_12_state_over_calls)
{
	pthread_t thread[3];
	long wrong = 0;
	void *result;

	for (long i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, keep_numbers, (void *)(i + 5));
	for (int i = 0; i < 3; i++) {
		pthread_join(thread[i], &result);
		wrong += (long)result;
	}
	say("wrong %ld", wrong);
}

static volatile long saved_flags;
static void look_at_frame(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	saved_flags = ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
}

CASE(hole_13_flags)
{
	char from[64], to[64];
	int fd[2];

	EXPECT(pipe(fd) == 0);
	memset(from, 3, sizeof(from));
	/* The kernel must copy upwards although the program's direction flag is set. */
	__asm__ volatile("std; syscall; cld" :: "a"(SYS_write), "D"((long)fd[1]), "S"(from), "d"(64L) : "rcx", "r11", "memory");
	EXPECT(read(fd[0], to, 64) == 64 && memcmp(from, to, 64) == 0);
	handle_info(SIGUSR1, look_at_frame, 0);
	raise(SIGUSR1);
	say("trap %ld direction %ld interrupts %ld", saved_flags >> 8 & 1, saved_flags >> 10 & 1, saved_flags >> 9 & 1);
}

static volatile unsigned saved_cs;
static void look_at_segments(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	saved_cs = ((ucontext_t *)context)->uc_mcontext.gregs[REG_CSGSFS] & 0xffff;
}

/* The segment in a signal frame is the real one: the kernel's in app mode. */
CASE(hole_13_segments_in_frames)
{
	handle_info(SIGUSR1, look_at_segments, 0);
	raise(SIGUSR1);
	say("cs %x", saved_cs);
}

/* Functions with the names of the kernel's own, with and without what the prefix makes of them. */
long printk(long a) { return a + 1; }
long schedule(long a) { return a + 2; }
long do_syscall_64(long a) { return a + 3; }
long _printk(long a) { return a + 4; }
long panic(long a) { return a + 5; }
long copy_from_user(long a) { return a + 6; }
long jiffies_64 = 100;
long init_task = 200;
long current_task = 300;
long text(long a) { return a + 7; }
long text_start = 400;
long page_fault(long a) { return a + 8; }
long format(long a) { return a + 9; }
long leave(long a) { return a + 10; }
/* The series itself must not take names that begin with the prefix. */
#ifdef SERIES_TAKES_NO_NAMES
long sync_regs(long a) { return a + 11; }
long raw_syscall(long a) { return a + 12; }
long wild_jump(long a) { return a + 13; }
#else
static long sync_regs(long a) { return a + 11; }
static long raw_syscall(long a) { return a + 12; }
static long wild_jump(long a) { return a + 13; }
#endif

CASE(hole_14_names)
{
	long (*volatile calls[])(long) = { printk, schedule, do_syscall_64, _printk, panic, copy_from_user, text,
		page_fault, format, leave, sync_regs, raw_syscall, wild_jump };
	long sum = jiffies_64 + init_task + current_task + text_start;

	for (size_t i = 0; i < COUNT(calls); i++)
		sum += calls[i](i);
	say("sum %ld", sum);
}

FAMILY(hole, T(hole_01_lost_interrupt), T(hole_02_fault_kind), T(hole_03_bad_pointer_is_a_signal),
       T(hole_04_who_may_start), T(hole_05_other_programs_and_globals), T(hole_06_pinned_globals),
       T(hole_07_globals_after_fork), T(hole_08_signals_and_restart), T(hole_09_ordinary_programs_beside),
       T(hole_10_debug_exceptions), T(hole_11_nothing_below_the_stack), T(hole_12_state_over_calls),
       T(hole_13_flags), T(hole_13_segments_in_frames), T(hole_14_names));
