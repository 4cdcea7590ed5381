/* System call filters see and stop the program's calls in either mode. */
#include "suite.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>

/* A filter that answers @number with @action and lets the rest pass. */
static long install(int number, uint32_t action, unsigned flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { COUNT(code), code };

	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void strict(void)
{
	EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
	write(1, "  written\n", 10);
	syscall(SYS_getpid);
	write(1, "  still here\n", 13);
	syscall(SYS_exit, 0);
}

CASE(seccomp_strict)
{
	say("%s", fate(in_child(strict)));
}

CASE(seccomp_errno)
{
	EXPECT(install(SYS_getppid, SECCOMP_RET_ERRNO | 77, 0) == 0);
	say("getppid %ld %s", syscall(SYS_getppid), errno_name(errno));
	say("getuid %d", getuid());
	say("mode %d", prctl(PR_GET_SECCOMP));
}

static void killed(void)
{
	install(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0);
	getppid();
	say("still here");
}

static void *call_it(void *unused)
{
	syscall(SYS_getppid);
	return unused;
}

static void thread_killed(void)
{
	pthread_t thread;

	install(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0);
	pthread_create(&thread, NULL, call_it, NULL);
	sleep_ms(50);
	say("the others go on");
	_exit(3);
}

CASE(seccomp_kill)
{
	say("%s", fate(in_child(killed)));
	say("%s", fate(in_child(thread_killed)));
}

static volatile int trapped, trapped_number, trapped_arch, trapped_place;
static char call_start[1], call_end[1];
static void on_trap(int number, siginfo_t *info, void *context)
{
	(void)context;
	trapped = number;
	trapped_number = info->si_syscall;
	trapped_arch = info->si_arch;
	trapped_place = info->si_call_addr != NULL;
}

CASE(seccomp_trap)
{
	(void)call_start, (void)call_end;
	handle_info(SIGSYS, on_trap, 0);
	install(SYS_getppid, SECCOMP_RET_TRAP, 0);
	syscall(SYS_getppid);
	say("signal %d, number %d, arch %x, place %d", trapped, trapped_number, trapped_arch, trapped_place);
	trapped = 0;
	__asm__ volatile(".byte 0x0f, 0x05" :: "a"(SYS_getppid) : "rcx", "r11", "memory");
	say("raw: signal %d, number %d", trapped, trapped_number);
}

CASE(seccomp_inherited)
{
	install(SYS_setpriority, SECCOMP_RET_ERRNO | 5, 0);
	pid_t pid = split();

	if (pid == 0) {
		say("child %s", answer(syscall(SYS_setpriority, 0, 0, 0)));
		finish();
	}
	reap(pid);
	say("over exec %s", fate(run_self("exit", "15")));
	install(SYS_execve, SECCOMP_RET_ERRNO | 13, 0);
	say("exec stopped %s", fate(run_self("exit", "15")));
}

static volatile int go;
static void *late_call(void *unused)
{
	while (!go)
		sleep_ms(1);
	errno = 0;
	return syscall(SYS_getppid) < 0 ? (void *)(long)errno : unused;
}

CASE(seccomp_all_threads)
{
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, late_call, NULL);
	say("install %s", answer(install(SYS_getppid, SECCOMP_RET_ERRNO | 99, SECCOMP_FILTER_FLAG_TSYNC)));
	go = 1;
	pthread_join(thread, &result);
	say("in the other thread %ld", (long)result);
}

static void unprivileged(void)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog program = { 1, code }, bad = { 1, (void *)0xffffffff81000000 };

	say("bad pointer %s", answer(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &bad)));
	EXPECT(setuid(65534) == 0);
	say("without no_new_privs %s", answer(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)));
	code[0].code = 0xffff;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	say("bad code %s", answer(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)));
}

CASE(seccomp_refused)
{
	say("%s", fate(in_child(unprivileged)));
}

CASE(seccomp_tracer)
{
	int status;
	pid_t pid = split();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		install(SYS_getppid, SECCOMP_RET_TRACE | 55, 0);
		raise(SIGSTOP);
		_exit(syscall(SYS_getppid) > 0 ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	EXPECT(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESECCOMP) == 0);
	ptrace(PTRACE_CONT, pid, NULL, NULL);
	waitpid(pid, &status, 0);
	unsigned long message = 0;

	ptrace(PTRACE_GETEVENTMSG, pid, NULL, &message);
	say("event %d, message %lu", status >> 16, message);
	ptrace(PTRACE_CONT, pid, NULL, NULL);
	say("%s", fate(reap(pid)));
}

/* Another process answers the call. */
CASE(seccomp_notified)
{
	struct seccomp_notif notice = { 0 };
	struct seccomp_notif_resp response = { 0 };
	int listener = install(SYS_getppid, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	pid_t pid;

	REQUIRE(listener >= 0);
	pid = split();
	if (pid == 0) {
		errno = 0;
		long result = syscall(SYS_getppid);

		_exit(result == 1234 ? 44 : 1);
	}
	EXPECT(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notice) == 0);
	say("number %d, from the child %d", notice.data.nr, notice.pid == (unsigned)pid);
	response.id = notice.id;
	response.val = 1234;
	EXPECT(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response) == 0);
	say("%s", fate(reap(pid)));
}

FAMILY(seccomp, T(seccomp_strict), T(seccomp_errno), T(seccomp_kill), T(seccomp_trap), T(seccomp_inherited),
       T(seccomp_all_threads), T(seccomp_refused), T(seccomp_tracer), T(seccomp_notified));
