/* What one step of a program does. */
#include "fuzz.h"
#include <asm/prctl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <ucontext.h>

/* In kernel.c */
long guest_touch(int *at);
long guest_touch_and_yield(int *at, long rounds);
long guest_call_back(long (*function)(long), long argument, long rounds);
long guest_call_back_slowly(long (*function)(long), long argument, long rounds);
long guest_sleep(long milliseconds);

#define CALL_BASE 0x554b0000L
/* The calls of this kernel end at about 463. */
#define LAST_CALL 470

static int mode(void)
{
	return !app_mode();
}

/*
 * After the first two nothing goes on. perf_event_open has Linux change instructions of its scheduler, which QEMU 7.2 may
 * still run as they were on another processor: `Oops: int3` (docs/troubleshooting.md). Watchpoints do the same.
 */
static int forbidden(unsigned long number)
{
	return number == SYS_exit || number == SYS_exit_group || number == SYS_perf_event_open;
}

unsigned long fuzz_number(void)
{
	unsigned long number = fuzz_below(LAST_CALL);

	return forbidden(number) ? SYS_getppid : number;
}

static int clones(unsigned long number)
{
	return number == SYS_clone || number == SYS_clone3 || number == SYS_fork || number == SYS_vfork;
}

static volatile int frames_changed;

static void check_registers(void)
{
	static const char *const names[] = {
		"rax", "rdi", "rsi", "rdx", "r10", "r8", "r9", "rbx", "rbp", "r12", "r13", "r14", "r15", "rsp",
	};
	unsigned long *in = &fuzz_in.rax, *out = &fuzz_out.rax;
	char text[100];

	if (fuzz_in.rax == SYS_rt_sigreturn || frames_changed)
		return;
	for (size_t i = 1; i < COUNT(names); i++)
		if (in[i] != out[i]) {
			snprintf(text, sizeof(text), "call %ld changed %s from %lx to %lx", in[0], names[i], in[i], out[i]);
			fuzz_violation(text);
		}
}

static void make_call(unsigned long number)
{
	unsigned long *word = &fuzz_in.rdi;
	volatile unsigned *made = NULL, *succeeded = NULL;
	void (*const ways[2][2])(void) = { { fuzz_call, fuzz_clone }, { fuzz_call_instruction, fuzz_clone_instruction } };
	int mild = fuzz_below(4);

	for (int i = 0; i < 12; i++)
		word[i] = i < 6 && mild ? fuzz_mild_word() : fuzz_word();
	fuzz_in.rax = number;
	fuzz_in.flags = fuzz_flags();
	fuzz_in.rsp = fuzz_below(8) ? (unsigned long)fuzz_buffer + 2 * PAGE : fuzz_word();
	if (number < FUZZ_CALLS) {
		made = &fuzz_shared->made[mode()][number];
		succeeded = &fuzz_shared->succeeded[mode()][number];
		++*made;
	}
	if (fuzz_told >= 0)
		dprintf(fuzz_told, "fuzz step %d: call %ld(%lx, %lx, %lx, %lx, %lx, %lx) rsp %lx flags %lx\n", getpid(), number, word[0], word[1],
			word[2], word[3], word[4], word[5], fuzz_in.rsp, fuzz_in.flags);
	ways[fuzz_below(2)][clones(number)]();
	if (succeeded && fuzz_out.rax < -4095UL)
		++*succeeded;
	check_registers();
}

static void step_call(void)
{
	unsigned long number = fuzz_below(64) ? fuzz_number() : fuzz_word();

	/* In app mode, what a function of the kernel does with a wild pointer is its program's own doing. */
	if (number - CALL_BASE < 0x10000 || forbidden(number))
		number = SYS_getppid;
	make_call(number);
}

/* Ordinary arguments, with unusual registers otherwise. */
static void step_likely_call(void)
{
	static const short numbers[] = {
		SYS_read, SYS_write, SYS_open, SYS_mmap, SYS_mprotect, SYS_munmap, SYS_brk, SYS_rt_sigaction, SYS_rt_sigprocmask,
		SYS_ioctl, SYS_pread64, SYS_readv, SYS_mremap, SYS_madvise, SYS_fork, SYS_vfork, SYS_clone, SYS_clone3,
		SYS_execve, SYS_execveat, SYS_rt_sigreturn, SYS_sigaltstack, SYS_arch_prctl, SYS_prctl, SYS_futex, SYS_set_robust_list,
		SYS_rt_sigtimedwait, SYS_process_vm_writev, SYS_process_vm_readv, SYS_io_setup, SYS_io_uring_setup, SYS_restart_syscall,
		SYS_modify_ldt, SYS_personality, SYS_setrlimit, SYS_kill, SYS_tgkill, SYS_rt_sigqueueinfo, 334 /* rseq */,
	};

	make_call(numbers[fuzz_below(COUNT(numbers))]);
}

static void step_kernel_call(void)
{
	if (!app_mode()) {
		make_call(CALL_BASE + fuzz_below(16));
		return;
	}
	make_call(CALL_BASE + 0x1000 + fuzz_below(0xf000));
}

static long back(long value)
{
	switch (value & 7) {
	case 0:
		return *(volatile long *)(fuzz_buffer + 5 * PAGE);
	case 1:
		__asm__ volatile("ud2");
		return 0;
	case 2:
		return syscall(SYS_getppid);
	case 3:
		for (volatile int i = 0; i < 100000; i++)
			;
		return value + 1;
	default:
		return value + 1 + *(volatile char *)(fuzz_buffer + fuzz_below(4 * PAGE)) * 0;
	}
}

/* A function of the kernel that faults, sleeps, calls back and is killed. */
static void step_function(void)
{
	int *at = (int *)(fuzz_buffer + (fuzz_below(4 * PAGE) & ~3U));

	switch (fuzz_below(6)) {
	case 0:
		guest_touch(fuzz_below(4) ? at : (int *)(fuzz_buffer + 5 * PAGE));
		break;
	case 1:
		guest_touch_and_yield(at, fuzz_below(20));
		break;
	case 2:
		guest_sleep(fuzz_below(4));
		break;
	case 3:
		guest_call_back_slowly(back, fuzz_below(8), fuzz_below(8));
		break;
	default:
		guest_call_back(back, fuzz_below(16) ? 4 : fuzz_below(4), fuzz_below(3));
	}
}

static void step_exception(void)
{
	switch (fuzz_below(9)) {
	case 0:
		__asm__ volatile("ud2");
		break;
	case 1:
		__asm__ volatile("int3");
		break;
	case 2:
		__asm__ volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; mov $1, %%eax; div %%ecx" ::: "rax", "rcx", "rdx");
		break;
	case 3:
		*(volatile char *)(fuzz_buffer + 5 * PAGE) = 1;
		break;
	case 4:
		*(volatile char *)0x8000000000000000 = 1;
		break;
	case 5:
		__asm__ volatile("hlt");
		break;
	case 6:
		__asm__ volatile("pushq $0x302; popfq; nop; nop; pushq $0x202; popfq; nop" ::: "memory", "cc");
		if (app_mode())
			__asm__ volatile("pushq $0x40202; popfq" ::: "memory", "cc");
		break;
	case 7:
		__asm__ volatile("jmp *%0" :: "r"(fuzz_buffer + fuzz_below(6 * PAGE)));
		break;
	default:
		__asm__ volatile("xor %%eax, %%eax; int $0x80" ::: "rax", "memory");
	}
}

static void step_signals(void)
{
	struct itimerval timer = { { 0, 500 + fuzz_below(5000) }, { 0, 1 + fuzz_below(3000) } };
	stack_t stack = { .ss_sp = (void *)fuzz_word(), .ss_size = fuzz_below(2) ? 8192 : fuzz_word(), .ss_flags = fuzz_below(4) ? 0 : fuzz_word() };

	switch (fuzz_below(5)) {
	case 0:
		fuzz_handlers();
		break;
	case 1:
		setitimer(fuzz_below(3), &timer, NULL);
		break;
	case 2:
		if (fuzz_below(3) == 0)
			sigaltstack(&stack, NULL);
		break;
	case 3:
		alternate_stack();
		break;
	default:
		syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), fuzz_below(8) ? SIGUSR1 : 1 + fuzz_below(64));
	}
}

/* The long way of system calls. */
static void step_filter(void)
{
	static const unsigned answers[] = {
		SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | 22, SECCOMP_RET_TRAP, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRACE, SECCOMP_RET_LOG,
	};
	static char selector;
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, fuzz_below(LAST_CALL), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, answers[fuzz_below(COUNT(answers))]),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { COUNT(filter), filter };

	if (fuzz_below(2)) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
		return;
	}
	/* PR_SET_SYSCALL_USER_DISPATCH, with all but a part of the address space watched. */
	selector = fuzz_below(2);
	prctl(59, 1, fuzz_word(), fuzz_word() >> fuzz_below(64), fuzz_below(4) ? &selector : (void *)fuzz_word());
}

static void step_segments(void)
{
	unsigned short selector = fuzz_below(2) ? fuzz_below(128) : fuzz_random();

	if (fuzz_below(2))
		__asm__ volatile("mov %0, %%ds" :: "r"(selector));
	else
		__asm__ volatile("mov %0, %%es" :: "r"(selector));
	/* At level 0 GS is the kernel's. */
	if (!app_mode() && fuzz_below(2))
		__asm__ volatile("mov %0, %%gs" :: "r"(selector));
}

/* A child that goes on by itself for some steps. */
static void step_fork(void)
{
	static int depth;
	pid_t pid;

	if (depth > 1)
		return;
	pid = fork();
	if (pid == 0) {
		depth++;
		fuzz_start(fuzz_random(), depth);
		fuzz_steps(fuzz_below(6));
		_exit(0);
	}
	if (pid > 0 && fuzz_below(2))
		waitpid(pid, NULL, __WALL);
}

/* What the auxiliary vector promises works. */
static void step_promise(void)
{
	if (getauxval(AT_HWCAP2) & 2)
		__asm__ volatile("wrgsbase %0" :: "r"(0UL));
	sched_yield();
}

/* From ring 3: whatever reaches into a process at level 0 is its kernel's. */
static void step_attack(void)
{
	struct iovec local = { fuzz_buffer, 8 }, remote = { fuzz_buffer, 8 };
	int victim = fuzz_shared->victim, fd;
	char path[40];
	long done;

	if (app_mode() || victim <= 0)
		return;
	switch (fuzz_below(5)) {
	case 0:
		done = syscall(SYS_ptrace, fuzz_below(2) ? 16 : 0x4206, victim, 0, 0);
		break;
	case 1:
		done = process_vm_writev(victim, &local, 1, &remote, 1, 0);
		break;
	case 2:
		snprintf(path, sizeof(path), "/proc/%d/mem", victim);
		done = open(path, O_RDWR | O_CLOEXEC);
		break;
	case 3:
		fd = syscall(SYS_pidfd_open, victim, 0);
		done = syscall(SYS_pidfd_getfd, fd, 0, 0);
		break;
	default:
		done = syscall(SYS_kcmp, getpid(), victim, 1, 0, 0);
	}
	if (done >= 0)
		fuzz_violation("ring 3 reached into a process at level 0");
}

int fuzz_told = -1;

void fuzz_step(void)
{
	unsigned kind = fuzz_below(40);

	if (fuzz_told >= 0)
		dprintf(fuzz_told, "fuzz step %d: %u\n", getpid(), kind);
	switch (kind) {
	case 0: step_kernel_call(); break;
	case 1: case 2: if (app_mode()) step_function(); break;
	case 3: case 4: step_exception(); break;
	case 5: case 6: case 7: case 8: step_signals(); break;
	case 9: step_filter(); break;
	case 10: step_segments(); break;
	case 11: step_fork(); break;
	case 12: case 13: fuzz_step_trace(); break;
	case 14: step_promise(); break;
	case 15: case 16: step_attack(); break;
	case 17: fuzz_memory(); break;
	case 18: case 19: case 20: case 21: case 22: case 23: step_likely_call(); break;
	default: step_call();
	}
}

static volatile int handled, self_thread;
static sigjmp_buf fuzz_loop;

void fuzz_steps(volatile int count)
{
	self_thread = syscall(SYS_gettid);
	/* After a fault the next step is done, most of the time. */
	sigsetjmp(fuzz_loop, 1);
	while (count-- > 0)
		fuzz_step();
}

static void change(greg_t *registers)
{
	for (int i = REG_R8; i <= REG_RCX; i++)
		registers[i] = fuzz_word();
	registers[REG_RSP] = fuzz_word();
	registers[REG_RIP] = fuzz_place();
	if (fuzz_below(2))
		registers[REG_EFL] = fuzz_word() & ~0x200UL;
	if (fuzz_below(4) == 0)
		registers[REG_CSGSFS] = fuzz_random();
}

void fuzz_frame(void *context)
{
	ucontext_t *frame = context;

	frames_changed = 1;
	change(frame->uc_mcontext.gregs);
	if (fuzz_below(8) == 0)
		frame->uc_mcontext.fpregs = (void *)fuzz_word();
	if (fuzz_below(8) == 0)
		frame->uc_flags = fuzz_random();
	if (fuzz_below(4) == 0)
		frame->uc_stack.ss_sp = (void *)fuzz_word();
	if (fuzz_below(4) == 0)
		memset(&frame->uc_sigmask, fuzz_random(), 8);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	if (fuzz_told >= 0)
		dprintf(fuzz_told, "fuzz step: signal %d code %d ip %llx sp %llx frame %p\n", number, info->si_code, registers[REG_RIP], registers[REG_RSP], context);
	int fault = number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE || number == SIGSYS;

	/* Whoever shares this memory does not go on in this program's place. */
	if (syscall(SYS_gettid) != self_thread)
		syscall(SYS_exit, 3);
	if (handled++ > 40)
		syscall(SYS_exit_group, 3);
	fuzz_aside();
	if (number == SIGTRAP && info->si_code == TRAP_TRACE) {
		if (fuzz_below(4) == 0)
			registers[REG_EFL] &= ~0x100UL;
	} else if (fault && fuzz_below(4)) {
		fuzz_aside();
		siglongjmp(fuzz_loop, 1);
	} else if (fault || fuzz_below(16) == 0) {
		fuzz_frame(context);
	}
	fuzz_aside();
}

void fuzz_handlers(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGALRM, SIGUSR1, SIGVTALRM, SIGPROF, 40 };

	for (size_t i = 0; i < COUNT(signals); i++)
		if (fuzz_below(12))
			handle_info(signals[i], on_signal, (fuzz_below(8) > 0) * SA_ONSTACK | fuzz_below(2) * SA_RESTART | fuzz_below(2) * SA_NODEFER);
}
