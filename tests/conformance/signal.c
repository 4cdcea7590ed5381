/* Signals: sent, blocked, queued, handled on other stacks, left by a jump, repaired. */
#include "suite.h"
#include <pthread.h>
#include <setjmp.h>
#include <ucontext.h>

static volatile sig_atomic_t count, last_code, last_value, mine;
static volatile int order[16];

static void record(int number, siginfo_t *info, void *context)
{
	(void)context;
	order[count++ & 15] = number;
	last_code = info->si_code;
	last_value = info->si_value.sival_int;
	mine = info->si_pid == getpid();
}

static void nothing(int number)
{
	(void)number;
	count++;
}

CASE(signal_information)
{
	union sigval value = { .sival_int = 77 };
	pid_t pid;

	handle_info(SIGUSR1, record, 0);
	handle_info(SIGCHLD, record, 0);
	raise(SIGUSR1);
	say("raise: count %d code %d mine %d", count, last_code, mine);
	kill(getpid(), SIGUSR1);
	say("kill: count %d code %d", count, last_code);
	sigqueue(getpid(), SIGUSR1, value);
	say("sigqueue: code %d value %d", last_code, last_value);
	pid = split();
	if (pid == 0)
		_exit(9);
	reap(pid);
	say("child: signal %d code %d", order[(count - 1) & 15], last_code);
	say("bad signal %s", answer(kill(getpid(), 99)));
	say("bad action %s", answer(syscall(SYS_rt_sigaction, SIGKILL, &(struct sigaction){ 0 }, NULL, 8)));
}

CASE(signal_blocking)
{
	sigset_t set, pending;

	handle_info(SIGUSR1, record, 0);
	handle_info(SIGUSR2, record, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR2);
	raise(SIGUSR1);
	raise(SIGUSR1);
	sigpending(&pending);
	say("count %d, pending %d %d", count, sigismember(&pending, SIGUSR1), sigismember(&pending, SIGUSR2));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	say("count %d", count);
}

CASE(signal_queue_order)
{
	sigset_t set;
	siginfo_t info;
	struct timespec zero = { 0, 0 };

	sigemptyset(&set);
	for (int i = 0; i < 4; i++)
		sigaddset(&set, SIGRTMIN + i);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 8; i++)
		sigqueue(getpid(), SIGRTMIN + 3 - i % 4, (union sigval){ .sival_int = i });
	while (sigtimedwait(&set, &info, &zero) > 0)
		say("signal +%d value %d", info.si_signo - SIGRTMIN, info.si_value.sival_int);
	say("then %s", errno_name(errno));
}

static volatile int inside, deepest;
static void nest(int number)
{
	if (++inside > deepest)
		deepest = inside;
	if (++count % 5)
		raise(number);
	inside--;
}

CASE(signal_flags)
{
	struct sigaction action;

	handle(SIGUSR1, nest, 0);
	raise(SIGUSR1);
	say("deferred: depth %d", deepest);
	deepest = 0;
	handle(SIGUSR1, nest, SA_NODEFER);
	raise(SIGUSR1);
	say("nested: depth %d", deepest);
	handle(SIGUSR1, nothing, SA_RESETHAND);
	raise(SIGUSR1);
	sigaction(SIGUSR1, NULL, &action);
	say("reset %d", action.sa_handler == SIG_DFL);
	signal(SIGUSR1, SIG_IGN);
	raise(SIGUSR1);
	say("ignored");
}

static sigjmp_buf back;
static void jump(int number)
{
	siglongjmp(back, number);
}

CASE(signal_jump_out)
{
	volatile int rounds = 0;
	sigset_t set;

	handle(SIGUSR1, jump, 0);
	while (rounds < 500) {
		if (sigsetjmp(back, 1) == 0)
			raise(SIGUSR1);
		rounds++;
	}
	sigprocmask(SIG_BLOCK, NULL, &set);
	say("rounds %d, blocked %d", rounds, sigismember(&set, SIGUSR1));
}

static volatile uintptr_t handler_frame;
static volatile int on_stack;
static void look_at_stack(int number)
{
	stack_t stack;
	char here;

	(void)number;
	sigaltstack(NULL, &stack);
	on_stack = stack.ss_flags;
	handler_frame = (uintptr_t)&here;
}

static int use(int depth)
{
	volatile char frame[4096];

	frame[0] = depth;
	return depth == endless ? 0 : use(depth + 1) + frame[0];
}

static void jump_segv(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	last_code = info->si_code;
	siglongjmp(back, 1);
}

CASE(signal_alternate_stack)
{
	static char memory[65536];
	stack_t stack = { .ss_sp = memory, .ss_size = sizeof(memory) }, old;

	EXPECT(sigaltstack(&stack, NULL) == 0);
	handle(SIGUSR1, look_at_stack, SA_ONSTACK);
	raise(SIGUSR1);
	say("inside %d, flags %d", handler_frame - (uintptr_t)memory < sizeof(memory), on_stack);
	handle(SIGUSR1, look_at_stack, 0);
	raise(SIGUSR1);
	say("inside %d, flags %d", handler_frame - (uintptr_t)memory < sizeof(memory), on_stack);
	handle_info(SIGSEGV, jump_segv, SA_ONSTACK);
	if (sigsetjmp(back, 1) == 0)
		use(0);
	say("stack overflow: code %d", last_code);
	stack.ss_size = 100;
	say("too small %s", answer(sigaltstack(&stack, NULL)));
	stack.ss_flags = SS_DISABLE;
	EXPECT(sigaltstack(&stack, &old) == 0 && old.ss_size == sizeof(memory));
}

static int word = 42;
static void repair(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = (long)&word;
	count++;
}

CASE(signal_repair)
{
	int sum = 0, value;

	handle_info(SIGSEGV, repair, 0);
	for (int i = 0; i < 1000; i++) {
		__asm__ volatile("mov %1, %%rax; mov (%%rax), %0" : "=r"(value) : "r"(16L) : "rax", "memory");
		sum += value;
	}
	say("repaired %d, sum %d", count, sum);
}

static void give_page(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	mmap((void *)((uintptr_t)info->si_addr & -PAGE), PAGE, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	count++;
}

CASE(signal_demand_paging)
{
	volatile char *at = mmap(NULL, 300 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long sum = 0;

	handle_info(SIGSEGV, give_page, 0);
	for (int i = 0; i < 300; i++)
		at[i * PAGE + i] = i;
	for (int i = 0; i < 300; i++)
		sum += at[i * PAGE + i];
	say("faults %d, sum %ld", count, sum);
}

static void skip_two_bytes(int number, siginfo_t *info, void *context)
{
	(void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
	order[count++ & 15] = number;
}

CASE(signal_skip_instruction)
{
	handle_info(SIGILL, skip_two_bytes, 0);
	for (int i = 0; i < 100; i++)
		__asm__ volatile("ud2" ::: "memory");
	say("skipped %d, signal %d", count, order[0]);
}

extern char after_jump[];
__asm__(".text\nafter_jump_function: .globl after_jump\nafter_jump: mov $1234, %eax\n ret");
static void change_place(int number, siginfo_t *info, void *context)
{
	ucontext_t *saved = context;

	(void)number, (void)info;
	/* As if the interrupted code had called another function. */
	saved->uc_mcontext.gregs[REG_RIP] = (long)after_jump;
}

CASE(signal_change_place)
{
	long value = 0;

	handle_info(SIGILL, change_place, 0);
	__asm__ volatile("call 1f\n jmp 2f\n1: ud2\n2:" : "=a"(value) : : "memory", "rcx", "rdx");
	say("value %ld", value);
}

static void big_frame(int number)
{
	volatile char space[200000];

	(void)number;
	for (size_t i = 0; i < sizeof(space); i += 4096)
		space[i] = 1;
	count += space[4096];
}

CASE(signal_storm)
{
	pid_t parent = getpid(), list[3];

	handle(SIGUSR1, nothing, SA_RESTART);
	handle(SIGUSR2, big_frame, SA_RESTART);
	for (int i = 0; i < 3; i++) {
		list[i] = split();
		if (list[i] == 0) {
			for (int n = 0; n < 300; n++) {
				kill(parent, n & 1 ? SIGUSR1 : SIGUSR2);
				sched_yield();
			}
			_exit(0);
		}
	}
	for (int i = 0; i < 3; i++)
		EXPECT(reap(list[i]) == 0);
	EXPECT(count > 0);
	say("alive");
}

static volatile int handled_by;
static void by_thread(int number)
{
	(void)number;
	handled_by = gettid();
}

static volatile int stop;
static void *wait_for_signal(void *id)
{
	*(volatile int *)id = gettid();
	while (!stop)
		sleep_ms(1);
	return NULL;
}

CASE(signal_to_thread)
{
	volatile int id = 0;
	pthread_t thread;

	handle(SIGUSR1, by_thread, 0);
	pthread_create(&thread, NULL, wait_for_signal, (void *)&id);
	while (!id)
		sleep_ms(1);
	pthread_kill(thread, SIGUSR1);
	while (!handled_by)
		sleep_ms(1);
	say("in the thread %d", handled_by == id);
	handled_by = 0;
	syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
	say("in the main one %d", handled_by == getpid());
	say("wrong group %s", answer(syscall(SYS_tgkill, 1, id, SIGUSR1)));
	stop = 1;
	pthread_join(thread, NULL);
}

static void bad_handler_low(void)
{
	handle(SIGUSR1, (void (*)(int))0xdead000, 0);
	raise(SIGUSR1);
}

static void bad_handler_kernel(void)
{
	handle(SIGUSR1, (void (*)(int))0xffffffff81000000UL, 0);
	raise(SIGUSR1);
}

static void bad_handler_data(void)
{
	handle(SIGUSR1, (void (*)(int))(void *)&word, 0);
	raise(SIGUSR1);
}

static void bad_handler_non_canonical(void)
{
	handle(SIGUSR1, (void (*)(int))0x8000000000000000UL, 0);
	raise(SIGUSR1);
}

static void frame_to_kernel(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (long)0xffffffff81000000UL;
}

static void bad_return_kernel(void)
{
	handle_info(SIGUSR1, frame_to_kernel, 0);
	raise(SIGUSR1);
}

static void frame_to_low(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = 0x10000;
}

static void bad_return_low(void)
{
	handle_info(SIGUSR1, frame_to_low, 0);
	raise(SIGUSR1);
}

static void frame_bad_state(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	((ucontext_t *)context)->uc_mcontext.fpregs = (void *)0xffffffff81000000UL;
}

static void bad_return_state(void)
{
	handle_info(SIGUSR1, frame_bad_state, 0);
	raise(SIGUSR1);
}

static void bad_sigreturn(void)
{
	syscall(SYS_rt_sigreturn);
}

static void bad_stack(void)
{
	static struct { char *sp; } saved;

	handle(SIGUSR1, nothing, 0);
	(void)saved;
	__asm__ volatile("mov $39, %%eax; syscall; mov %%eax, %%edi; mov $62, %%eax; mov $10, %%esi;"
			 "mov $16, %%rsp; syscall; ud2" ::: "rax", "rcx", "r11", "rdi", "rsi", "memory");
}

CASE(signal_bad_frames)
{
	say("handler not mapped: %s", fate(in_child(bad_handler_low)));
	say("handler in the kernel: %s", fate(in_child(bad_handler_kernel)));
	say("handler in data: %s", fate(in_child(bad_handler_data)));
	say("handler not canonical: %s", fate(in_child(bad_handler_non_canonical)));
	say("return to the kernel: %s", fate(in_child(bad_return_kernel)));
	say("return to nothing: %s", fate(in_child(bad_return_low)));
	say("bad state pointer: %s", fate(in_child(bad_return_state)));
	say("sigreturn without a frame: %s", fate(in_child(bad_sigreturn)));
	say("no stack for the frame: %s", fate(in_child(bad_stack)));
}

FAMILY(signal, T(signal_information), T(signal_blocking), T(signal_queue_order), T(signal_flags),
       T(signal_jump_out), T(signal_alternate_stack), T(signal_repair), T(signal_demand_paging),
       T(signal_skip_instruction), T(signal_change_place), T(signal_storm), T(signal_to_thread),
       T(signal_bad_frames));
