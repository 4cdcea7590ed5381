/* Processes: made in every way, waited for in every way. */
#include "suite.h"
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>

extern char **environ;

static void exit_seven(void)
{
	_exit(7);
}

static void die(void)
{
	raise(SIGKILL);
}

CASE(process_fork)
{
	int depth = 0;
	pid_t parent = getpid(), pid;

	say("%s %s", fate(in_child(exit_seven)), fate(in_child(die)));
	/* A chain of children, each the parent of the next. */
	while (depth < 10 && (pid = split()) == 0)
		depth++;
	if (depth == 10)
		_exit(1);
	int status = reap(pid);

	if (getpid() != parent)
		_exit(WEXITSTATUS(status) + 1);
	say("chain %s", fate(status));
}

CASE(process_many_children)
{
	int sum = 0, status;

	for (int i = 0; i < 60; i++)
		if (split() == 0)
			_exit(i);
	while (wait(&status) > 0)
		sum += WEXITSTATUS(status);
	say("sum %d", sum);
	say("then %s", answer(wait(&status)));
}

CASE(process_vfork)
{
	static volatile int shared;
	pid_t pid = vfork();

	if (pid == 0) {
		shared = 5;
		_exit(3);
	}
	say("shared %d", shared);
	say("%s", fate(reap(pid)));
	fflush(stdout);
	pid = vfork();
	if (pid == 0) {
		execl(self, self, "role", "exit", "9", (char *)NULL);
		_exit(97);
	}
	say("exec %s", fate(reap(pid)));
	pid = vfork();
	if (pid == 0) {
		execl("/absent", "absent", (char *)NULL);
		_exit(errno);
	}
	say("failed exec %s", fate(reap(pid)));
}

static int on_new_stack(void *argument)
{
	*(int *)argument += 10;
	return 4;
}

CASE(process_clone)
{
	static char stack[65536] __attribute__((aligned(16)));
	static int value = 1;
	pid_t pid;

	pid = clone(on_new_stack, stack + sizeof(stack), SIGCHLD, &value);
	say("separate %s", fate(reap(pid)));
	say("value %d", value);
	pid = clone(on_new_stack, stack + sizeof(stack), CLONE_VM | SIGCHLD, &value);
	say("shared memory %s", fate(reap(pid)));
	say("value %d", value);
	pid = clone(on_new_stack, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &value);
	say("vfork %s", fate(reap(pid)));
	say("value %d", value);
	say("bad flags %s", answer(syscall(SYS_clone, CLONE_THREAD, NULL, NULL, NULL, 0)));
}

CASE(process_clone3)
{
	static int pidfd, child_id, parent_id;
	struct clone_args how = { .flags = CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID,
				  .pidfd = (uintptr_t)&pidfd, .parent_tid = (uintptr_t)&parent_id,
				  .child_tid = (uintptr_t)&child_id, .exit_signal = SIGCHLD };
	siginfo_t info = { 0 };
	long pid;

	fflush(stdout);
	pid = syscall(SYS_clone3, &how, sizeof(how));
	if (pid == 0)
		_exit(child_id == getpid() ? 11 : 12);
	say("ids equal %d", parent_id == pid);
	EXPECT(poll(&(struct pollfd){ pidfd, POLLIN, 0 }, 1, 5000) == 1);
	EXPECT(waitid(P_PIDFD, pidfd, &info, WEXITED) == 0);
	say("code %d status %d", info.si_code, info.si_status);
	how.flags = CLONE_SIGHAND;
	say("bad flags %s", answer(syscall(SYS_clone3, &how, sizeof(how))));
	say("bad pointer %s", answer(syscall(SYS_clone3, 0xffffffff81000000UL, sizeof(how))));
}

CASE(process_wait_options)
{
	siginfo_t info = { 0 };
	int status = 0, go[2];
	pid_t pid;
	char c;

	EXPECT(pipe(go) == 0);
	pid = split();
	if (pid == 0) {
		raise(SIGSTOP);
		read(go[0], &c, 1);
		_exit(2);
	}
	say("stopped %d", waitpid(pid, &status, WUNTRACED) == pid);
	say("%s", fate(status));
	say("nothing yet %s", answer(waitpid(pid, &status, WNOHANG)));
	kill(pid, SIGCONT);
	EXPECT(waitpid(pid, &status, WCONTINUED) == pid);
	say("continued %d", WIFCONTINUED(status));
	EXPECT(write(go[1], "x", 1) == 1);
	EXPECT(waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0);
	say("code %d status %d", info.si_code, info.si_status);
	say("%s", fate(reap(pid)));
	say("again %s", answer(waitpid(pid, &status, 0)));
	say("bad options %s", answer(waitid(P_ALL, 0, &info, 0)));
}

CASE(process_groups)
{
	pid_t pid = split();
	int status;

	if (pid == 0) {
		EXPECT(setsid() == getpid() && getpgrp() == getpid() && getsid(0) == getpid());
		say("leader again %s", answer(setsid()));
		if (split() == 0) {
			setpgid(0, 0);
			kill(0, SIGTERM);
			_exit(1);
		}
		wait(&status);
		say("own group only: %s", fate(status));
		finish();
	}
	say("%s", fate(reap(pid)));
	say("nobody %s", answer(kill(999999, 0)));
	say("unknown group %s", answer(kill(-999999, SIGTERM)));
}

CASE(process_orphan)
{
	int fd[2];
	pid_t parent = getpid(), adopted[2];

	EXPECT(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && pipe(fd) == 0);
	if (split() == 0) {
		pid_t middle = getpid();

		if (split() == 0) {
			for (int i = 0; i < 1000 && getppid() == middle; i++)
				sleep_ms(10);
			adopted[0] = getppid();
			write(fd[1], adopted, sizeof(adopted[0]));
			_exit(5);
		}
		_exit(0);
	}
	wait(NULL);
	EXPECT(read(fd[0], adopted, sizeof(adopted[0])) == sizeof(adopted[0]));
	say("adopted %d", adopted[0] == parent);
	say("%s", fate(reap(-1)));
}

CASE(process_parent_death)
{
	int fd[2];
	char c;

	EXPECT(pipe(fd) == 0);
	if (split() == 0) {
		if (split() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			write(fd[1], "r", 1);
			pause();
		}
		read(fd[0], &c, 1);
		_exit(0);
	}
	close(fd[1]);
	wait(NULL);
	say("end of the pipe %s", answer(read(fd[0], &c, 1)));
}

CASE(process_pidfd)
{
	int fd, other, in[2];
	pid_t pid;

	EXPECT(pipe(in) == 0);
	pid = split();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	fd = syscall(SYS_pidfd_open, pid, 0);
	say("running %d", poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 0));
	other = syscall(SYS_pidfd_getfd, fd, in[1], 0);
	EXPECT(other >= 0 && write(other, "x", 1) == 1);
	say("signal %s", answer(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0)));
	say("ended %d", poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 5000));
	say("%s", fate(reap(pid)));
	say("signal %s", answer(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0)));
}

static void *spin(void *unused)
{
	for (;;)
		sleep_ms(1000);
	return unused;
}

static void exit_with_threads(void)
{
	pthread_t thread;

	for (int i = 0; i < 5; i++)
		pthread_create(&thread, NULL, spin, NULL);
	exit(21);
}

static void *exec_here(void *unused)
{
	fflush(stdout);
	execl(self, self, "role", "exit", "22", (char *)NULL);
	return unused;
}

static void exec_from_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, spin, NULL);
	pthread_create(&thread, NULL, exec_here, NULL);
	pthread_join(thread, NULL);
}

static void *fork_here(void *unused)
{
	say("from a thread: %s", fate(in_child(exit_seven)));
	return unused;
}

CASE(process_threads_and_exit)
{
	pthread_t thread;

	say("exit %s", fate(in_child(exit_with_threads)));
	say("exec %s", fate(in_child(exec_from_thread)));
	pthread_create(&thread, NULL, fork_here, NULL);
	pthread_join(thread, NULL);
}

static void at_end(void)
{
	say("at exit");
}

static void exit_normally(void)
{
	atexit(at_end);
	atexit(at_end);
	exit(4);
}

CASE(process_exit_handlers)
{
	say("%s", fate(in_child(exit_normally)));
}

CASE(process_priority)
{
	struct sched_param parameter = { .sched_priority = 3 };
	cpu_set_t set;

	EXPECT(setpriority(PRIO_PROCESS, 0, 7) == 0);
	errno = 0;
	say("nice %d", getpriority(PRIO_PROCESS, 0));
	say("then %s", answer(nice(3)));
	say("fifo %s", answer(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &parameter)));
	say("policy %ld", syscall(SYS_sched_getscheduler, 0));
	say("yield %s", answer(sched_yield()));
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	say("affinity %s", answer(sched_setaffinity(0, sizeof(set), &set)));
	CPU_ZERO(&set);
	say("nowhere %s", answer(sched_setaffinity(0, sizeof(set), &set)));
	say("cpu %d", sched_getcpu());
}

CASE(process_usage)
{
	struct rusage usage, later;
	volatile long sum = 0;
	volatile char *at = pages(50);
	long start = now_ms();

	while (now_ms() - start < 60)
		for (int i = 0; i < 10000; i++)
			sum += i;
	EXPECT(getrusage(RUSAGE_SELF, &usage) == 0);
	/* Its own computing is user time, at CPL 0 as well. */
	EXPECT(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec > 0 || usage.ru_stime.tv_usec > 0);
	for (int i = 0; i < 50; i++)
		at[i * PAGE] = 1;
	EXPECT(getrusage(RUSAGE_SELF, &later) == 0);
	say("memory counted %d, faults counted %d", later.ru_maxrss > 100, later.ru_minflt - usage.ru_minflt >= 50);
}

FAMILY(process, T(process_fork), T(process_many_children), T(process_vfork), T(process_clone), T(process_clone3),
       T(process_wait_options), T(process_groups), T(process_orphan), T(process_parent_death), T(process_pidfd),
       T(process_threads_and_exit), T(process_exit_handlers), T(process_priority), T(process_usage));
