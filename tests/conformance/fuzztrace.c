/* A tracer that does anything to a child, in the same mode. */
#include "fuzz.h"
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#ifndef NT_PRSTATUS
#define NT_PRSTATUS 1
#endif
#define NT_PRFPREG 2
#define NT_X86_XSTATE 0x202

static void words(void *at, size_t size)
{
	for (size_t i = 0; i < size / 8; i++)
		((unsigned long *)at)[i] = fuzz_word();
}

static void set_registers(pid_t pid)
{
	struct user_regs_struct registers;

	ptrace(PTRACE_GETREGS, pid, 0, &registers);
	if (fuzz_below(2))
		words(&registers, sizeof(registers));
	registers.rip = fuzz_place();
	registers.orig_rax = fuzz_below(2) ? fuzz_number() : -1UL;
	ptrace(PTRACE_SETREGS, pid, 0, &registers);
}

static void set_area(pid_t pid)
{
	static const int kinds[] = { NT_PRFPREG, NT_X86_XSTATE };
	static unsigned long area[512];
	struct iovec vector = { area, sizeof(area) };
	int kind = kinds[fuzz_below(COUNT(kinds))];

	ptrace(PTRACE_GETREGSET, pid, kind, &vector);
	for (int i = fuzz_below(20); i > 0; i--)
		area[fuzz_below(COUNT(area))] = fuzz_word();
	if (fuzz_below(4) == 0)
		vector.iov_len = fuzz_below(sizeof(area));
	ptrace(PTRACE_SETREGSET, pid, kind, &vector);
}

/* Watchpoints have Linux change its scheduler's instructions, as perf_event_open does: see fuzz_number(). */
static int watches(unsigned long offset)
{
	return offset >= offsetof(struct user, u_debugreg) && sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

static void poke_user(pid_t pid)
{
	unsigned long offset = fuzz_below(sizeof(struct user) / 8) * 8;
	unsigned long value = offset == offsetof(struct user_regs_struct, rip) ? fuzz_place() : fuzz_word();

	if (offset == offsetof(struct user_regs_struct, orig_rax))
		value = fuzz_number();
	if (watches(offset))
		return;
	ptrace(PTRACE_POKEUSER, pid, offset, value);
}

static void act(pid_t pid)
{
	int request = fuzz_below(0x20);

	switch (fuzz_below(14)) {
	case 0: case 1: set_registers(pid); break;
	case 2: set_area(pid); break;
	case 3: case 4: poke_user(pid); break;
	case 5: ptrace(PTRACE_PEEKUSER, pid, fuzz_word(), 0); break;
	case 6: ptrace(PTRACE_PEEKDATA, pid, fuzz_word(), 0); break;
	case 7: ptrace(PTRACE_POKEDATA, pid, fuzz_buffer + fuzz_below(4 * PAGE), fuzz_word()); break;
	case 8: ptrace(PTRACE_SETOPTIONS, pid, 0, fuzz_below(2) ? fuzz_below(0x100) : fuzz_word()); break;
	case 9: ptrace(request == PTRACE_POKEUSER ? PTRACE_PEEKUSER : request, pid, fuzz_word(), (unsigned long)fuzz_buffer); break;
	default: break;
	}
}

static void go_on(pid_t pid)
{
	static const int ways[] = { PTRACE_SINGLESTEP, PTRACE_SYSCALL, PTRACE_CONT, 31 /* SYSEMU */, 32, 33 /* SINGLEBLOCK */, PTRACE_SINGLESTEP };
	int signal = fuzz_below(4) ? 0 : fuzz_below(65);

	if (ptrace(ways[fuzz_below(COUNT(ways))], pid, 0, signal) != 0)
		ptrace(PTRACE_CONT, pid, 0, 0);
}

/* Does it stop within some milliseconds? */
static int stops(pid_t pid)
{
	int status;

	for (int i = 0; i < 20; i++) {
		pid_t found = waitpid(pid, &status, __WALL | WNOHANG);

		if (found == pid)
			return WIFSTOPPED(status);
		if (found < 0)
			return 0;
		if (i == 10)
			kill(pid, SIGSTOP);
		usleep(200);
	}
	return 0;
}

void fuzz_step_trace(void)
{
	int offered = fuzz_below(2);
	pid_t pid = fork();

	if (pid == 0) {
		if (offered)
			ptrace(PTRACE_TRACEME, 0, 0, 0);
		if (fuzz_below(2))
			fuzz_handlers();
		raise(SIGSTOP);
		fuzz_traced();
	}
	if (pid < 0)
		return;
	if (!offered)
		ptrace(fuzz_below(2) ? PTRACE_ATTACH : PTRACE_SEIZE, pid, 0, 0);
	for (int i = 2 + fuzz_below(10); i > 0 && stops(pid); i--) {
		for (int j = fuzz_below(5); j > 0; j--)
			act(pid);
		go_on(pid);
	}
	if (fuzz_below(2))
		ptrace(PTRACE_DETACH, pid, 0, fuzz_below(32));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, __WALL);
}
