/* A parent traces this program with ptrace. */
#include "suite.h"
#include <linux/elf.h>
#include <linux/ptrace.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

static volatile long global = 0x1122334455667788;
static volatile long other_global;

/* Starts @body in a traced child that has stopped itself. */
static pid_t traced(void (*body)(void))
{
	pid_t pid = split();
	int status;

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		body();
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	return pid;
}

static int next_stop(pid_t pid, int request, long signal)
{
	int status = -1;

	EXPECT(ptrace(request, pid, NULL, (void *)signal) == 0);
	EXPECT(waitpid(pid, &status, 0) == pid);
	return status;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void some_calls(void)
{
	getppid();
	syscall(SYS_write, -1, "x", 1L);
	getuid();
	_exit(5);
}

CASE(trace_calls)
{
	pid_t pid = traced(some_calls);
	struct user_regs_struct regs;
	int status;

	EXPECT(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD) == 0);
	for (int i = 0; i < 12; i++) {
		status = next_stop(pid, PTRACE_SYSCALL, 0);
		if (!WIFSTOPPED(status))
			break;
		EXPECT(ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0);
		/* The first one is the end of the kill() that stopped it. */
		say("%s number %lld result %lld", fate(status), (long long)regs.orig_rax,
		    regs.orig_rax == SYS_getppid && (int)regs.rax > 0 ? 1 : (long long)regs.rax);
	}
	say("%s", fate(status));
}

CASE(trace_call_information)
{
	struct ptrace_syscall_info info = { 0 };
	pid_t pid = traced(some_calls);
	long size;

	EXPECT(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD) == 0);
	for (int i = 0; i < 6; i++) {
		next_stop(pid, PTRACE_SYSCALL, 0);
		memset(&info, 0, sizeof(info));
		size = ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info);
		say("size %d op %d arch %x nr %lld", size > 0, info.op, info.arch,
		    info.op == PTRACE_SYSCALL_INFO_ENTRY ? (long long)info.entry.nr : -1);
	}
	end(pid);
}

static void change_me(void)
{
	long result = getppid();

	_exit(result == 4321 ? 1 : 2);
}

CASE(trace_change_result)
{
	pid_t pid = traced(change_me);
	int status;

	next_stop(pid, PTRACE_SYSCALL, 0);
	do
		status = next_stop(pid, PTRACE_SYSCALL, 0);
	while (WIFSTOPPED(status) && ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.orig_rax), NULL) != SYS_getppid);
	next_stop(pid, PTRACE_SYSCALL, 0);
	say("poke %s", answer(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rax), 4321L)));
	say("%s", fate(next_stop(pid, PTRACE_CONT, 0)));
}

CASE(trace_change_number)
{
	pid_t pid = traced(change_me);
	int status;

	do
		status = next_stop(pid, PTRACE_SYSCALL, 0);
	while (WIFSTOPPED(status) && ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.orig_rax), NULL) != SYS_getppid);
	say("poke %s", answer(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.orig_rax), -1L)));
	next_stop(pid, PTRACE_SYSCALL, 0);
	errno = 0;
	say("result %ld", ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rax), NULL));
	say("%s", fate(next_stop(pid, PTRACE_CONT, 0)));
}

static void show_globals(void)
{
	_exit(global == 7 && other_global == 8 ? 30 : 31);
}

CASE(trace_data)
{
	pid_t pid = traced(show_globals);
	struct iovec local = { (void *)&(long){ 8 }, 8 }, remote = { (void *)&other_global, 8 };
	char path[64];
	long value = 0;
	int fd;

	errno = 0;
	say("peek %lx", ptrace(PTRACE_PEEKDATA, pid, (void *)&global, NULL));
	say("poke %s", answer(ptrace(PTRACE_POKEDATA, pid, (void *)&global, (void *)7L)));
	say("process_vm_writev %s", answer(process_vm_writev(pid, &local, 1, &remote, 1, 0)));
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR);
	say("mem %s", answer(pread(fd, &value, 8, (long)&other_global)));
	say("value %ld", value);
	say("parent's own %lx", global);
	say("bad address %s", answer(ptrace(PTRACE_POKEDATA, pid, (void *)16L, (void *)7L)));
	say("%s", fate(next_stop(pid, PTRACE_CONT, 0)));
}

CASE(trace_kernel_memory)
{
	pid_t pid = traced(show_globals);

	errno = 0;
	ptrace(PTRACE_PEEKDATA, pid, (void *)0xffffffff81000000UL, NULL);
	say("peek %s", errno_name(errno));
	say("poke %s", answer(ptrace(PTRACE_POKEDATA, pid, (void *)0xffffffff81000000UL, NULL)));
	end(pid);
}

/* The program's text belongs to the kernel: not to be read or changed through the process. */
CASE(trace_text)
{
	pid_t pid = traced(show_globals);
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, pid, (void *)show_globals, NULL);
	say("peek %s, right %d", errno_name(errno), word == *(long *)(void *)show_globals);
	say("poke %s", answer(ptrace(PTRACE_POKETEXT, pid, (void *)show_globals, (void *)word)));
	end(pid);
}

static void known_registers(void)
{
	__asm__ volatile("mov $0x1111, %%rbx; mov $0x2222, %%r12; mov $0x3333, %%r15; movq %%rbx, %%xmm5; int3"
			 ::: "rbx", "r12", "r15", "xmm5");
	_exit(0);
}

CASE(trace_registers)
{
	pid_t pid = traced(known_registers);
	struct user_regs_struct regs;
	struct user_fpregs_struct state;
	struct iovec vector = { &regs, sizeof(regs) };

	say("%s", fate(next_stop(pid, PTRACE_CONT, 0)));
	EXPECT(ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0);
	say("rbx %llx r12 %llx r15 %llx, behind int3 %d", (long long)regs.rbx, (long long)regs.r12, (long long)regs.r15,
	    regs.rip > (unsigned long)known_registers && regs.rip < (unsigned long)known_registers + 100);
	say("user rip %d", ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), NULL) == (long)regs.rip);
	EXPECT(ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &vector) == 0);
	say("set of %d, rbx %llx", (int)vector.iov_len, (long long)regs.rbx);
	EXPECT(ptrace(PTRACE_GETFPREGS, pid, NULL, &state) == 0);
	say("xmm5 %x", state.xmm_space[5 * 4]);
	state.xmm_space[5 * 4] = 7;
	say("set floating point %s", answer(ptrace(PTRACE_SETFPREGS, pid, NULL, &state)));
	say("single register %s", answer(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rbx), 9L)));
	end(pid);
}

CASE(trace_segments)
{
	pid_t pid = traced(known_registers);
	struct user_regs_struct regs;

	EXPECT(ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0);
	say("cs %llx ss %llx fs %d", (long long)regs.cs, (long long)regs.ss, regs.fs_base != 0);
	end(pid);
}

CASE(trace_set_registers)
{
	pid_t pid = traced(known_registers);
	struct user_regs_struct regs;

	EXPECT(ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0);
	say("as they are %s", answer(ptrace(PTRACE_SETREGS, pid, NULL, &regs)));
	regs.rip = 0xffffffff81000000;
	say("into the kernel %s", answer(ptrace(PTRACE_SETREGS, pid, NULL, &regs)));
	say("rip %s", answer(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rip), 0xffffffff81000400)));
	say("%s", fate(next_stop(pid, PTRACE_CONT, 0)));
	end(pid);
}

static void own_signal(void)
{
	raise(SIGUSR1);
	_exit(6);
}

CASE(trace_signals)
{
	pid_t pid = traced(own_signal);
	siginfo_t info = { 0 };

	say("%s", fate(next_stop(pid, PTRACE_CONT, 0)));
	EXPECT(ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) == 0);
	say("signal %d code %d", info.si_signo, info.si_code);
	say("suppressed %s", fate(next_stop(pid, PTRACE_CONT, 0)));
	pid = traced(own_signal);
	next_stop(pid, PTRACE_CONT, 0);
	say("delivered %s", fate(next_stop(pid, PTRACE_CONT, SIGUSR1)));
}

static void make_children(void)
{
	if (split() == 0)
		_exit(1);
	wait(NULL);
	execl(self, self, "role", "exit", "14", (char *)NULL);
	_exit(97);
}

CASE(trace_events)
{
	pid_t pid = traced(make_children);
	unsigned long message;
	int status;

	EXPECT(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT) == 0);
	for (int i = 0; i < 20; i++) {
		status = next_stop(pid, PTRACE_CONT, 0);
		while (WIFSTOPPED(status) && WSTOPSIG(status) == SIGCHLD)
			status = next_stop(pid, PTRACE_CONT, SIGCHLD);
		if (!WIFSTOPPED(status))
			break;
		EXPECT(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &message) == 0);
		say("event %d", status >> 16);
		if (status >> 16 == PTRACE_EVENT_FORK) {
			pid_t child = message;

			waitpid(child, &status, 0);
			say("child %s", fate(status));
			ptrace(PTRACE_DETACH, child, NULL, NULL);
		}
	}
	say("%s", fate(status));
}

static void sleep_long(void)
{
	sleep_ms(100000);
}

CASE(trace_seize)
{
	pid_t pid = split();
	int status = 0;

	if (pid == 0) {
		sleep_long();
		_exit(0);
	}
	sleep_ms(20);
	say("seize %s", answer(ptrace(PTRACE_SEIZE, pid, NULL, NULL)));
	EXPECT(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) == pid);
	say("%s event %d", fate(status), status >> 16);
	say("detach %s", answer(ptrace(PTRACE_DETACH, pid, NULL, NULL)));
	kill(pid, SIGTERM);
	say("%s", fate(reap(pid)));
	say("nobody %s", answer(ptrace(PTRACE_ATTACH, 999999, NULL, NULL)));
}

static void become_shell(void)
{
	execl("/bin/sh", "sh", "-c", "exit 17", (char *)NULL);
	_exit(97);
}

/* The other way round: an ordinary program under a tracer that may be in app mode. */
CASE(trace_ordinary_program)
{
	pid_t pid = traced(become_shell);
	struct user_regs_struct regs;
	int status, stops = 0, exec_seen = 0;

	EXPECT(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD) == 0);
	for (;;) {
		status = next_stop(pid, PTRACE_SYSCALL, 0);
		if (!WIFSTOPPED(status))
			break;
		EXPECT(ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0);
		if (regs.orig_rax == SYS_execve)
			exec_seen = 1;
		if (exec_seen && regs.orig_rax != SYS_execve) {
			EXPECT(regs.cs == 0x33);
			stops++;
		}
	}
	say("%s", fate(status));
	say("more than 10 stops %d", stops > 10);
}

FAMILY(trace, T(trace_calls), T(trace_call_information), T(trace_change_result), T(trace_change_number),
       T(trace_data), T(trace_kernel_memory), T(trace_text), T(trace_registers), T(trace_segments),
       T(trace_set_registers), T(trace_signals), T(trace_events), T(trace_seize), T(trace_ordinary_program));

/* A stretch of known instructions, with system calls of both forms. */
extern char stretch_start[], stretch_end[];
long stretch(void);
__asm__(".text\n.globl stretch\nstretch:\nstretch_start:\n push %rbx\n xor %ebx, %ebx\n mov $39, %eax\n syscall\n"
	" add $1, %ebx\n mov $39, %eax\n .byte 0x0f, 0x05\n add $1, %ebx\n pushfq\n pop %rax\n mov %ebx, %eax\n"
	" pop %rbx\nstretch_end: ret");

static volatile long stretch_result;
static void walk(void)
{
	for (int i = 0; i < 3; i++)
		stretch_result = stretch();
	_exit(stretch_result);
}

/* Steps over everything; how many steps were inside the stretch of code. */
CASE(step_over_calls)
{
	pid_t pid = traced(walk);
	long inside = 0, total = 0;
	unsigned long rip;
	int status;

	for (;;) {
		status = next_stop(pid, PTRACE_SINGLESTEP, 0);
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP || total++ > 100000)
			break;
		rip = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), NULL);
		inside += rip >= (unsigned long)stretch_start && rip <= (unsigned long)stretch_end;
	}
	say("%s", fate(status));
	say("steps %d", total > 30);
	say("inside %d", inside >= 30 && inside < 100);
}

static volatile long steps, misplaced;
static void count_step(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	steps++;
	misplaced += info->si_code != TRAP_TRACE && info->si_code != TRAP_BRKPT;
}

CASE(step_by_flag)
{
	long result = 0;

	handle_info(SIGTRAP, count_step, 0);
	for (int i = 0; i < 50; i++) {
		__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; call stretch; pushfq; andq $~0x100, (%%rsp); popfq"
				 : "=a"(result) : : "rcx", "r11", "memory", "cc");
		EXPECT(result == 2);
	}
	say("stepped %d, misplaced %ld", steps > 500, misplaced);
	for (int i = 0; i < 100; i++)
		getppid();
	say("alive");
}

static volatile long watched;
static void touch_watched(void)
{
	watched = 1;
	watched = 2;
	getppid();
	_exit(8);
}

CASE(step_watchpoint)
{
	pid_t pid = traced(touch_watched);
	struct user_regs_struct regs;
	int status;

	say("address %s", answer(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), (long)&watched)));
	say("control %s", answer(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]), 0x90001L)));
	for (int i = 0; i < 5; i++) {
		status = next_stop(pid, PTRACE_CONT, 0);
		if (!WIFSTOPPED(status))
			break;
		EXPECT(ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0);
		say("%s in the function %d", fate(status), regs.rip >= (unsigned long)touch_watched && regs.rip < (unsigned long)touch_watched + 200);
		say("value %ld", ptrace(PTRACE_PEEKDATA, pid, (void *)&watched, NULL));
		say("reason %lx", ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, u_debugreg[6]), NULL) & 0xf);
	}
	say("%s", fate(status));
}

CASE(step_breakpoint)
{
	pid_t pid = traced(walk);
	int status;

	say("address %s", answer(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[1]), (long)stretch_start)));
	say("control %s", answer(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]), 0x4L)));
	for (int i = 0; i < 5; i++) {
		status = next_stop(pid, PTRACE_CONT, 0);
		if (!WIFSTOPPED(status))
			break;
		say("%s there %d", fate(status), ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), NULL) ==
		    (long)stretch_start);
	}
	say("%s", fate(status));
	if (WIFSTOPPED(status))
		end(pid);
}

/* Emulated calls: the number is seen, the call is not made. */
CASE(step_emulated_calls)
{
	pid_t pid = traced(change_me);
	long number = 0;
	int status;

	for (int i = 0; i < 10 && number != SYS_getppid; i++) {
		status = next_stop(pid, number ? PTRACE_SYSEMU : PTRACE_SYSCALL, 0);
		number = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.orig_rax), NULL);
	}
	say("%s", fate(status));
	say("number %ld", number);
	say("result %s", answer(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rax), 4321L)));
	say("%s", fate(next_stop(pid, PTRACE_CONT, 0)));
}

FAMILY(step, T(step_over_calls), T(step_by_flag), T(step_watchpoint), T(step_breakpoint), T(step_emulated_calls));
