/*
 * Who controls a process in app mode controls the kernel. So its memory, registers and descriptors are
 * for those who may start it: the capability that this takes is CAP_SYS_RAWIO.
 */
#include "suite.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <linux/perf_event.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#define NOBODY 65534
/* This program in ring 3, beside the trigger. */
#define TWIN "/twin"

static void become_nobody(void)
{
	EXPECT(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

/* Takes @capability from this process and what it executes. */
static void drop(int capability)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	EXPECT(syscall(SYS_capget, &head, data) == 0);
	EXPECT(prctl(PR_CAPBSET_DROP, capability) == 0);
	data[capability / 32].effective &= ~(1u << capability % 32);
	data[capability / 32].permitted &= ~(1u << capability % 32);
	EXPECT(syscall(SYS_capset, &head, data) == 0);
}

static int refused;
static void tried(const char *what, long result)
{
	int number = errno;

	/* What this kernel does not have at all says nothing. */
	if (result < 0 && number == ENOSYS) {
		say("%s: not there", what);
		return;
	}
	say("%s: %s", what, result < 0 ? errno_name(number) : "done");
	EXPECT(refused == (result < 0));
	EXPECT(result >= 0 || number == EPERM || number == EACCES);
}

static void let_go(pid_t pid)
{
	int status;

	kill(pid, SIGSTOP);
	waitpid(pid, &status, __WALL);
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	kill(pid, SIGCONT);
}

static void try_file(pid_t pid, const char *name, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, flags);
	tried(name, fd);
	close(fd);
}

/* Everything that reaches into process @pid, one after the other. */
static void attack(pid_t pid)
{
	static char word[8];
	struct iovec local = { word, 8 }, remote = { word, 8 };
	struct perf_event_attr event = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(event), .exclude_kernel = 1 };
	int other = syscall(SYS_pidfd_open, pid, 0);
	char path[64], link[64];
	size_t size;
	void *list;
	long result;

	result = ptrace(PTRACE_ATTACH, pid, NULL, NULL);
	tried("attach", result);
	if (result == 0)
		let_go(pid);
	result = ptrace(PTRACE_SEIZE, pid, NULL, NULL);
	tried("seize", result);
	if (result == 0)
		let_go(pid);
	/* What is at the place, if anything, is another matter. */
	result = process_vm_readv(pid, &local, 1, &remote, 1, 0);
	tried("process_vm_readv", result < 0 && errno == EFAULT ? 0 : result);
	result = process_vm_writev(pid, &local, 1, &remote, 1, 0);
	tried("process_vm_writev", result < 0 && errno == EFAULT ? 0 : result);
	tried("pidfd_getfd", syscall(SYS_pidfd_getfd, other, 0, 0));
	tried("kcmp", syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0));
	tried("perf_event_open", syscall(SYS_perf_event_open, &event, pid, -1, -1, 0));
	tried("get_robust_list", syscall(SYS_get_robust_list, pid, &list, &size));
	try_file(pid, "mem", O_RDWR);
	try_file(pid, "maps", O_RDONLY);
	try_file(pid, "environ", O_RDONLY);
	try_file(pid, "auxv", O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/fd/0", pid);
	tried("descriptor's link", readlink(path, link, sizeof(link)));
}

/* The attacker: "WHO EXPECTED PID". */
int role_attack(const char *argument)
{
	char who[16], expected[16];
	int pid;

	REQUIRE(sscanf(argument, "%15s %15s %d", who, expected, &pid) == 3);
	refused = strcmp(expected, "refused") == 0;
	if (strcmp(who, "nobody") == 0)
		become_nobody();
	if (strcmp(who, "tracer") == 0) {
		drop(CAP_SYS_RAWIO);
		/* Who may measure the kernel may measure the program. */
		drop(CAP_SYS_ADMIN);
		drop(CAP_PERFMON);
	}
	attack(pid);
	finish();
}

/* A process that was root and has become nobody, and lets itself be looked at. */
static pid_t victim(int user)
{
	pid_t pid = split();

	if (pid == 0) {
		if (user != 0)
			become_nobody();
		EXPECT(prctl(PR_SET_DUMPABLE, 1) == 0);
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
		for (;;)
			pause();
	}
	sleep_ms(30);
	return pid;
}

static void attack_by(const char *who, int user, int strict)
{
	pid_t pid, attacker;
	char argument[64];

	if (access(TWIN, X_OK) != 0) {
		say("skip: there is no " TWIN " to attack from");
		return;
	}
	pid = victim(user);
	snprintf(argument, sizeof(argument), "%s %s %d", who, strict && app_mode() ? "refused" : "allowed", pid);
	attacker = split();
	if (attacker == 0) {
		execl(TWIN, TWIN, "role", "attack", argument, (char *)NULL);
		_exit(97);
	}
	EXPECT(reap(attacker) == 0);
	kill(pid, SIGKILL);
	say("victim %s", fate(reap(pid)));
}

CASE(control_by_the_same_user)
{
	attack_by("nobody", NOBODY, 1);
}

CASE(control_by_a_privileged_tracer)
{
	attack_by("tracer", NOBODY, 1);
}

CASE(control_of_root_by_a_privileged_tracer)
{
	attack_by("tracer", 0, 1);
}

CASE(control_by_root)
{
	attack_by("root", NOBODY, 0);
}

/* Executes the program under a tracer that may not start it. */
static void start_traced(void)
{
	int go[2], status;
	pid_t pid;
	char c;

	EXPECT(pipe(go) == 0);
	pid = split();
	if (pid == 0) {
		EXPECT(read(go[0], &c, 1) == 1);
		EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
		execl(self, self, "role", "exit", "7", (char *)NULL);
		say("exec: %s", errno_name(errno));
		finish();
	}
	drop(CAP_SYS_RAWIO);
	EXPECT(write(go[1], "x", 1) == 1);
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status))
		ptrace(PTRACE_CONT, pid, NULL, NULL);
	say("%s", fate(status));
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == (refused ? 0 : 7));
}

/* The tracer, in ring 3: "EXPECTED PATH". */
int role_start_traced(const char *argument)
{
	refused = strncmp(argument, "refused ", 8) == 0;
	self = argument + 8;
	start_traced();
	finish();
}

CASE(control_from_before_exec)
{
	char argument[64];
	pid_t pid;

	if (access(TWIN, X_OK) != 0) {
		say("skip: there is no " TWIN " to trace from");
		return;
	}
	snprintf(argument, sizeof(argument), "%s %s", app_mode() ? "refused" : "allowed", self);
	pid = split();
	if (pid == 0) {
		execl(TWIN, TWIN, "role", "start_traced", argument, (char *)NULL);
		_exit(97);
	}
	EXPECT(reap(pid) == 0);
}

/* The child of a process that has become another program asks to be traced by it. */
static void offer_to_parent(void)
{
	pid_t pid = split();

	if (pid == 0) {
		sleep_ms(200);
		refused = app_mode();
		tried("trace me", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
		finish();
	}
	execl(TWIN, TWIN, "role", "sleep", "500", (char *)NULL);
	_exit(97);
}

static void offer_as_nobody(void)
{
	become_nobody();
	offer_to_parent();
}

CASE(control_by_a_parent)
{
	if (access(TWIN, X_OK) != 0) {
		say("skip: there is no " TWIN " to be traced by");
		return;
	}
	say("%s", fate(in_child(offer_as_nobody)));
	sleep_ms(100);
}

FAMILY(control, T(control_by_the_same_user), T(control_by_a_privileged_tracer),
       T(control_of_root_by_a_privileged_tracer), T(control_by_root), T(control_from_before_exec),
       T(control_by_a_parent));
