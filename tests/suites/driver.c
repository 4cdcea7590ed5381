/*
 * Many test programs of a public suite in one executable: called by a test's name, it is that test.
 * Otherwise it is the driver, which executes PATH under each test's name, one after the other, and
 * reports how they ended. The driver runs in ring 3 for either PATH.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Made by many.mk. */
extern const struct test {
	const char *name;
	int (*run)(int, char **, char **);
} tests[];

#define SECONDS 60
#define LINES 6
#define WIDTH 160

static const struct test *find(const char *name)
{
	for (const struct test *test = tests; test->name; test++)
		if (strcmp(test->name, name) == 0)
			return test;
	return NULL;
}

static int forget(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status, (void)type;
	return walk->level ? remove(path) : 0;
}

/* A case finds an empty folder, and neither shared memory nor message queues of the one before: they have limits. */
static void clear(const char *folder)
{
	nftw(folder, forget, 8, FTW_DEPTH | FTW_PHYS);
	nftw("/dev/shm", forget, 8, FTW_DEPTH | FTW_PHYS);
	nftw("/dev/mqueue", forget, 8, FTW_DEPTH | FTW_PHYS);
}

static _Noreturn void enter(const char *path, const char *name, const char *folder, int output)
{
	char *argv[] = { (char *)name, NULL };
	int input = open("/dev/null", O_RDONLY);

	setpgid(0, 0);
	dup2(input, 0);
	dup2(output, 1);
	dup2(output, 2);
	syscall(SYS_close_range, 3U, ~0U, 0U);
	if (chdir(folder) != 0)
		_exit(99);
	execv(path, argv);
	_exit(98);
}

/* Waits for @pid; 0 when it took too long. What it left behind goes with it. */
static int wait_for(pid_t pid, int *status)
{
	struct pollfd ready = { .events = POLLIN };
	int done;

	ready.fd = syscall(SYS_pidfd_open, pid, 0);
	done = poll(&ready, 1, SECONDS * 1000);
	close(ready.fd);
	if (done <= 0)
		kill(pid, SIGKILL);
	kill(-pid, SIGKILL);
	while (waitpid(pid, status, 0) < 0)
		;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return done > 0;
}

/* The last lines of what the case said. */
static void print_end(int output)
{
	char text[LINES * WIDTH + 1];
	off_t size = lseek(output, 0, SEEK_END), at = size > LINES * WIDTH ? size - LINES * WIDTH : 0;
	ssize_t got = pread(output, text, sizeof(text) - 1, at);
	char *line = text, *next;
	int lines = 0;

	text[got > 0 ? got : 0] = 0;
	for (char *c = text; *c; c++)
		lines += *c == '\n';
	for (; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		if (lines-- <= LINES)
			printf("  %.*s\n", WIDTH, line);
	}
}

static void run(const char *path, const char *name, const char *folder)
{
	int output = open("/tmp/output", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), status, in_time;
	pid_t pid;

	printf("case %s\n", name);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		enter(path, name, folder, output);
	in_time = wait_for(pid, &status);
	if (!in_time || status != 0)
		print_end(output);
	close(output);
	if (!in_time)
		printf("end %s timeout\n", name);
	else if (WIFSIGNALED(status))
		printf("end %s signal=%d\n", name, WTERMSIG(status));
	else
		printf("end %s exit=%d\n", name, WEXITSTATUS(status));
	fflush(stdout);
	clear(folder);
}

static void raise_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
		request.ifr_flags |= IFF_UP | IFF_RUNNING;
		ioctl(fd, SIOCSIFFLAGS, &request);
	}
	close(fd);
}

static int drive(int argc, char **argv)
{
	const char *path = argv[1], *folder = "/tmp/case";
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	/* Orphans of a case come here. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	raise_loopback();
	if (mkdir("/dev/mqueue", 01777) == 0 && mount("mqueue", "/dev/mqueue", "mqueue", 0, NULL) != 0)
		perror("mqueue");
	mkdir(folder, 0777);
	chmod(folder, 0777);
	printf("mode %s\n", argv[2]);
	for (int i = 3; i < argc; i++)
		run(path, argv[i], folder);
	for (const struct test *test = tests; argc == 3 && test->name; test++)
		run(path, test->name, folder);
	return 0;
}

int main(int argc, char **argv, char **envp)
{
	const char *name = argv[0];
	const struct test *test = find(name);

	if (!test && strncmp(name, "./", 2) == 0)
		test = find(name + 2);
	if (test)
		return test->run(argc, argv, envp);
	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		for (test = tests; test->name; test++)
			puts(test->name);
		return 0;
	}
	for (int i = 3; i < argc; i++)
		if (!find(argv[i])) {
			printf("no such case: %s\n", argv[i]);
			return 2;
		}
	if (argc > 2)
		return drive(argc, argv);
	printf("usage: %s list | PATH MODE [NAME…]\n", name);
	return 2;
}
