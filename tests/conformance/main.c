/* Chooses the cases, gives each a process and a folder of its own, and reports how it ended. */
#include "suite.h"
#include <ftw.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define FAMILIES(X) \
	X(files) X(place) X(efault) X(tcp) X(unix) X(event) X(inotify) X(uring) X(aio) X(pipe) X(memory) \
	X(globals) X(futex) X(ipc) X(process) X(spawn) X(trace) X(step) X(signal) X(restart) X(registers) X(fault) \
	X(ring0) X(interrupt) X(thread) X(privilege) X(proc) X(clock) X(limit) X(seccomp) X(hole) X(beside) \
	X(control) X(frame) X(call) X(hardware)

#define X(name) extern const struct test name##_family[];
FAMILIES(X)
#undef X
int load(int argc, char **argv);
int fuzz(int argc, char **argv);

static const struct test *const families[] = {
#define X(name) name##_family,
	FAMILIES(X)
#undef X
};

const char *self, *called;
int full_run;

static int visit(int argc, char **argv, int (*each)(const struct test *))
{
	int found = 0, failed = 0;

	for (size_t f = 0; f < COUNT(families); f++)
		for (const struct test *test = families[f]; test->name; test++) {
			int wanted = argc == 0;

			for (int i = 0; i < argc; i++)
				wanted |= strcmp(argv[i], test->name) == 0;
			if (!wanted)
				continue;
			found++;
			failed += each(test);
		}
	if (found < argc) {
		printf("guest: no such case\n");
		return 2;
	}
	return failed != 0;
}

static int print_name(const struct test *test)
{
	printf("%s\n", test->name);
	return 0;
}

static int forget(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status, (void)type, (void)walk;
	return remove(path);
}

static long tainted(void)
{
	char text[32] = "";
	int fd = open("/proc/sys/kernel/tainted", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return atol(text);
}

static _Noreturn void enter(const struct test *test, const char *folder)
{
	setpgid(0, 0);
	if (chdir(folder) != 0)
		_exit(99);
	test->run();
	finish();
}

/* Waits for @pid, at most as long as a case may take; 0 when it took longer. */
static int wait_for(pid_t pid, int *status)
{
	struct pollfd ready = { .events = POLLIN };
	int done;

	ready.fd = syscall(SYS_pidfd_open, pid, 0);
	done = poll(&ready, 1, full_run ? 1800000 : 120000);
	close(ready.fd);
	if (done <= 0)
		kill(-pid, SIGKILL);
	while (waitpid(pid, status, 0) < 0)
		;
	kill(-pid, SIGKILL);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return done > 0;
}

static int run_case(const struct test *test)
{
	char folder[] = "/tmp/guest-XXXXXX";
	long taint = tainted();
	int status, in_time;
	pid_t pid;

	printf("case %s\n", test->name);
	if (!mkdtemp(folder)) {
		printf("  failed: mkdtemp: %s\n", errno_name(errno));
		folder[0] = 0;
	}
	chmod(folder, 0755);
	pid = split();
	if (pid == 0)
		enter(test, folder);
	setpgid(pid, pid);
	in_time = wait_for(pid, &status);
	nftw(folder, forget, 8, FTW_DEPTH | FTW_PHYS);
	if (tainted() != taint)
		printf("  kernel tainted: %ld\n", tainted());
	if (in_time)
		printf("end %s %s\n", test->name, fate(status));
	else
		printf("end %s timeout\n", test->name);
	fflush(stdout);
	return !in_time || status != 0;
}

/* Cases talk to 127.0.0.1, and no init is bound to bring it up. */
static void raise_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0 && !(request.ifr_flags & IFF_UP)) {
		request.ifr_flags |= IFF_UP | IFF_RUNNING;
		ioctl(fd, SIOCSIFFLAGS, &request);
	}
	close(fd);
}

static void settle(void)
{
	struct rlimit none = { 0, 0 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_DFL);
	/* Orphans of a case come here and are killed with its process group. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_TIMERSLACK, 50000);
	setrlimit(RLIMIT_CORE, &none);
	full_run |= getenv("GUEST_FULL") != NULL;
	raise_loopback();
}

/* The path of this program: the name that it was called by may be another. */
static void find_self(const char *name)
{
	static char path[256];
	ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);

	called = name;
	self = size > 0 ? path : name;
}

int main(int argc, char **argv)
{
	find_self(argv[0]);
	if (argc > 2 && strcmp(argv[1], "role") == 0)
		return role(argc - 2, argv + 2);
	settle();
	if (argc > 2 && strcmp(argv[1], "--full") == 0)
		full_run = 1, argv++, argc--;
	if (argc == 2 && strcmp(argv[1], "list") == 0)
		return visit(0, NULL, print_name);
	if (argc > 2 && strcmp(argv[1], "fuzz") == 0)
		return fuzz(argc - 2, argv + 2);
	/* What the harness tells the runs apart by. */
	if (argc > 1 && strcmp(argv[1], "load") != 0)
		printf("mode %s\n", app_mode() ? "app" : "ring3");
	if (argc > 2 && strcmp(argv[1], "run") == 0)
		return visit(argc - 2, argv + 2, run_case);
	if (argc == 2 && strcmp(argv[1], "all") == 0)
		return visit(0, NULL, run_case);
	if (argc > 1 && strcmp(argv[1], "load") == 0)
		return load(argc - 2, argv + 2);
	printf("usage: %s [--full] list | run NAME… | all | load NAME… | fuzz SEED FIRST COUNT\n", argv[0]);
	return 2;
}
