/* The fuzzer: programs one after the other, in app mode, and the same ones in ring 3 beside them. */
#include "fuzz.h"
#include <dirent.h>
#include <grp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/user.h>

/* In kernel.c */
long guest_see_access(long rounds);
long guest_watch(long pid);
long guest_watched(void);

#define TWIN "/twin"
#define STATE "/tmp/fuzz-state"
/* Of one program, in milliseconds; its own alarm comes first. */
#define LIMIT_MS 1000

struct fuzz_shared *fuzz_shared;

static const char *mode(void)
{
	return app_mode() ? "app" : "ring3";
}

static void report(unsigned long program, const char *text)
{
	printf("fuzz violation %s %lu: %s\n", mode(), program, text);
}

void fuzz_violation(const char *text)
{
	snprintf(fuzz_shared->violation[!app_mode()], sizeof(fuzz_shared->violation[0]), "%s", text);
}

static void become(int user)
{
	if (setgroups(0, NULL) != 0 || setgid(user) != 0 || setuid(user) != 0)
		_exit(98);
	prctl(PR_SET_DUMPABLE, 1);
}

static void limit(int what, unsigned long value)
{
	struct rlimit limit = { value, value };

	setrlimit(what, &limit);
}

/* Descriptors of many kinds, from 0 on. */
static void descriptors(void)
{
	int fd = open("x", O_RDWR | O_CREAT, 0600);

	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	if (pipe2((int[2]){ 0, 0 }, O_NONBLOCK) != 0)
		return;
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, (int[2]){ 0, 0 });
	socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	eventfd(1, EFD_NONBLOCK);
	epoll_create1(0);
	timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	memfd_create("x", 0);
	open(".", O_RDONLY | O_DIRECTORY);
	open("/dev/zero", O_RDWR);
}

static _Noreturn void program(unsigned long seed, unsigned long number)
{
	struct itimerval timer = { { 0, 100000 }, { 0, 20000 } };

	setpgid(0, 0);
	fuzz_start(seed, number);
	limit(RLIMIT_CORE, fuzz_below(16) ? 0 : 1 << 20);
	limit(RLIMIT_FSIZE, 1 << 20);
	limit(RLIMIT_NPROC, 12);
	limit(RLIMIT_AS, 96 << 20);
	limit(RLIMIT_CPU, 1);
	become(app_mode() ? FUZZ_USER_APP : FUZZ_USER_RING3);
	fuzz_shared->began[!app_mode()] = getpid();
	descriptors();
	fuzz_memory();
	if (fuzz_below(4))
		alternate_stack();
	fuzz_handlers();
	setitimer(ITIMER_REAL, &timer, NULL);
	fuzz_steps(8 + fuzz_below(56));
	_exit(0);
}

/* The user of a process that has ended and is not yet waited for. */
static int user_of(pid_t pid)
{
	char path[40], line[128];
	int user = -1, effective, saved, file;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	status = fopen(path, "r");
	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "Uid: %d %d %d %d", &user, &effective, &saved, &file) == 4) {
			if (effective != user || saved != user || file != user)
				user = -2;
			break;
		}
	if (status)
		fclose(status);
	return user;
}

/* The fuzzer in ring 3, and how it ended. */
static pid_t beside = -1;
static int beside_status = -1;

/* Waits for everything that the program left, and looks who it was. */
static void collect(pid_t pid, unsigned long number)
{
	int expected = app_mode() ? FUZZ_USER_APP : FUZZ_USER_RING3;
	siginfo_t found;

	for (;;) {
		found.si_pid = 0;
		if (waitid(P_ALL, 0, &found, WEXITED | WNOHANG | WNOWAIT | __WALL) != 0 || found.si_pid == 0)
			break;
		if (found.si_pid == beside) {
			waitpid(beside, &beside_status, 0);
			beside = -1;
			continue;
		}
		if (found.si_pid == fuzz_shared->victim) {
			fuzz_shared->victim = -1;
		} else if (found.si_pid == pid && fuzz_shared->began[!app_mode()] != pid) {
			/* It was ended before it became the user: the machine is busy. */
		} else if (user_of(found.si_pid) != expected) {
			char text[64];

			snprintf(text, sizeof(text), "a process ended as user %d", user_of(found.si_pid));
			report(number, text);
		}
		waitpid(found.si_pid, NULL, __WALL);
	}
}

/* Ends whatever runs as @user. */
static void end_all(int user)
{
	pid_t pid = fork();

	if (pid == 0) {
		become(user);
		kill(-1, SIGKILL);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static void forget_files(void)
{
	DIR *folder = opendir(".");
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (remove(entry->d_name) != 0)
			continue;
	if (folder)
		closedir(folder);
}

static void watch_beside(unsigned long number)
{
	if (!app_mode())
		return;
	if (fuzz_shared->beside > 0)
		guest_watch(fuzz_shared->beside);
	if (guest_watched() % 1000)
		report(number, "the kernel took a process in ring 3 for one inside of a function that was called by name");
	if (guest_see_access(3))
		report(number, "EFLAGS.AC was set in the kernel after others had the processor");
}

static void run_program(unsigned long seed, unsigned long number)
{
	int user = app_mode() ? FUZZ_USER_APP : FUZZ_USER_RING3;
	char *violation = fuzz_shared->violation[!app_mode()];
	struct pollfd ready = { .events = POLLIN };
	pid_t pid;

	printf("fuzz %s %lu\n", mode(), number);
	pid = split();
	if (pid == 0)
		program(seed, number);
	if (!app_mode())
		fuzz_shared->beside = pid;
	watch_beside(number);
	ready.fd = syscall(SYS_pidfd_open, pid, 0);
	poll(&ready, 1, LIMIT_MS);
	close(ready.fd);
	watch_beside(number);
	end_all(user);
	kill(pid, SIGKILL);
	for (int i = 0; collect(pid, number), kill(pid, 0) == 0; i++) {
		if (i == 20000) {
			report(number, "it did not end when it was killed");
			break;
		}
		usleep(i ? 1000 : 0);
	}
	if (violation[0])
		report(number, violation);
	violation[0] = 0;
	forget_files();
}

/* A process at level 0 of the other user, to be attacked. */
static void keep_victim(void)
{
	pid_t pid;

	if (!app_mode() || fuzz_shared->victim > 0)
		return;
	pid = split();
	if (pid == 0) {
		become(FUZZ_USER_RING3);
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
		for (;;)
			pause();
	}
	fuzz_shared->victim = pid;
}

/* What a new program finds in its registers: nothing, whatever was in them. */
static void start_clean(unsigned long number)
{
	struct user_regs_struct found;
	int status;
	pid_t pid = split();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		__asm__ volatile("mov $59, %%eax; mov $-1, %%rbx; mov $-1, %%r8; mov $-1, %%r9; mov $-1, %%r10; mov $-1, %%r12;"
				 "mov $-1, %%r13; mov $-1, %%r14; mov $-1, %%r15; syscall"
				 :: "D"(self), "S"((char *[]){ (char *)self, "role", "exit", "0", NULL }), "d"(NULL)
				 : "rax", "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory");
		_exit(1);
	}
	if (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) && ptrace(PTRACE_GETREGS, pid, 0, &found) == 0 &&
	    (found.rbx | found.rbp | found.r8 | found.r9 | found.r10 | found.r12 | found.r13 | found.r14 | found.r15 | found.rdx))
		report(number, "exec left values of the old program in registers");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

static void share(void)
{
	int fd = open(STATE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, sizeof(*fuzz_shared)) != 0)
		exit(2);
	fuzz_shared = mmap(NULL, sizeof(*fuzz_shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
}

/* The same programs in ring 3, at the same time. */
static pid_t start_beside(char **words)
{
	pid_t pid = split();

	if (pid == 0) {
		setpgid(0, 0);
		execv(TWIN, (char *[]){ TWIN, "fuzz", words[0], words[1], words[2], NULL });
		_exit(97);
	}
	return pid;
}

static void print_coverage(void)
{
	for (int i = 0; i < FUZZ_CALLS; i++)
		if (fuzz_shared->made[0][i] || fuzz_shared->made[1][i])
			printf("fuzz call %d %u %u %u %u\n", i, fuzz_shared->made[0][i], fuzz_shared->succeeded[0][i],
			       fuzz_shared->made[1][i], fuzz_shared->succeeded[1][i]);
}

/* SEED FIRST COUNT */
int fuzz(int argc, char **argv)
{
	char folder[] = "/tmp/fuzz-XXXXXX";
	unsigned long seed, first, count;
	int together;

	if (argc != 3 || !mkdtemp(folder) || chmod(folder, 0777) != 0 || chdir(folder) != 0)
		return 2;
	seed = strtoul(argv[0], NULL, 0), first = strtoul(argv[1], NULL, 0), count = strtoul(argv[2], NULL, 0);
	share();
	if (count == 1)
		fuzz_told = fcntl(1, F_DUPFD_CLOEXEC, 100);
	together = app_mode() && access(TWIN, X_OK) == 0;
	if (together)
		beside = start_beside(argv);
	for (unsigned long number = first; number < first + count; number++) {
		keep_victim();
		if (number % 64 == 0)
			start_clean(number);
		run_program(seed, number);
	}
	if (together) {
		if (beside > 0)
			waitpid(beside, &beside_status, 0);
		if (beside_status != 0)
			report(first + count, fate(beside_status));
		kill(fuzz_shared->victim, SIGKILL);
	}
	if (app_mode())
		print_coverage();
	printf("fuzz done %s %lu\n", mode(), count);
	return 0;
}
