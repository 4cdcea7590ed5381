/* What every case uses: output, expectations, children, time, memory. */
#include "suite.h"
#include <stdarg.h>
#include <sys/time.h>

static int failures;
volatile int endless = -1;

void say(const char *format, ...)
{
	va_list list;

	fputs("  ", stdout);
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	putchar('\n');
}

const char *errno_name(int number)
{
	static const struct {
		int number;
		const char *name;
	} names[] = {
#define N(name) { name, #name }
		N(EPERM), N(ENOENT), N(ESRCH), N(EINTR), N(EIO), N(ENXIO), N(E2BIG), N(ENOEXEC), N(EBADF), N(ECHILD),
		N(EAGAIN), N(ENOMEM), N(EACCES), N(EFAULT), N(EBUSY), N(EEXIST), N(EXDEV), N(ENODEV), N(ENOTDIR),
		N(EISDIR), N(EINVAL), N(ENFILE), N(EMFILE), N(ENOTTY), N(ETXTBSY), N(EFBIG), N(ENOSPC), N(ESPIPE),
		N(EROFS), N(EMLINK), N(EPIPE), N(EDOM), N(ERANGE), N(EDEADLK), N(ENAMETOOLONG), N(ENOLCK), N(ENOSYS),
		N(ENOTEMPTY), N(ELOOP), N(ENOMSG), N(EIDRM), N(EOVERFLOW), N(EOWNERDEAD), N(ENOTSOCK), N(EDESTADDRREQ),
		N(EMSGSIZE), N(EPROTOTYPE), N(ENOPROTOOPT), N(EPROTONOSUPPORT), N(EOPNOTSUPP), N(EAFNOSUPPORT),
		N(EADDRINUSE), N(EADDRNOTAVAIL), N(ENETUNREACH), N(ECONNABORTED), N(ECONNRESET), N(ENOBUFS), N(EISCONN),
		N(ENOTCONN), N(ETIMEDOUT), N(ECONNREFUSED), N(EALREADY), N(EINPROGRESS), N(ESTALE), N(ECANCELED), N(ETIME),
#undef N
	};
	static char other[24];

	for (size_t i = 0; i < COUNT(names); i++)
		if (names[i].number == number)
			return names[i].name;
	snprintf(other, sizeof(other), "errno=%d", number);
	return other;
}

const char *answer(long result)
{
	static char text[4][24];
	static unsigned next;

	if (result == -1)
		return errno_name(errno);
	next = (next + 1) % COUNT(text);
	snprintf(text[next], sizeof(text[next]), "%ld", result);
	return text[next];
}

const char *fate(int status)
{
	static char text[4][32];
	static unsigned next;

	next = (next + 1) % COUNT(text);
	if (WIFEXITED(status))
		snprintf(text[next], sizeof(text[next]), "exit=%d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(text[next], sizeof(text[next]), "signal=%d", WTERMSIG(status));
	else if (WIFSTOPPED(status))
		snprintf(text[next], sizeof(text[next]), "stopped=%d", WSTOPSIG(status));
	else
		snprintf(text[next], sizeof(text[next]), "status=%x", status);
	return text[next];
}

void expect(int ok, const char *what, const char *file, int line)
{
	int number = errno;

	if (ok)
		return;
	failures++;
	say("failed: %s (%s:%d, last error %s)", what, file, line, errno_name(number));
}

void finish(void)
{
	fflush(stdout);
	_exit(failures > 90 ? 90 : failures);
}

pid_t split(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		say("failed: fork: %s", errno_name(errno));
		_exit(98);
	}
	return pid;
}

int reap(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int in_child(void (*body)(void))
{
	pid_t pid = split();

	if (pid == 0) {
		failures = 0;
		body();
		finish();
	}
	return reap(pid);
}

int run_self(const char *role, const char *argument)
{
	pid_t pid = split();

	if (pid == 0) {
		execl(self, self, "role", role, argument, (char *)NULL);
		_exit(97);
	}
	return reap(pid);
}

int app_mode(void)
{
	unsigned long cs;

	__asm__("mov %%cs, %0" : "=r"(cs));
	return (cs & 3) == 0;
}

void sleep_ms(long milliseconds)
{
	struct timespec left = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void alarm_ms(long first, long period)
{
	struct itimerval timer = {
		.it_value = { first / 1000, first % 1000 * 1000 },
		.it_interval = { period / 1000, period % 1000 * 1000 },
	};

	setitimer(ITIMER_REAL, &timer, NULL);
}

void handle(int signal, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	sigaction(signal, &action, NULL);
}

void handle_info(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	sigaction(signal, &action, NULL);
}

void alternate_stack(void)
{
	static char memory[65536];
	stack_t stack = { .ss_sp = memory, .ss_size = sizeof(memory) };

	sigaltstack(&stack, NULL);
}

void fill(void *at, size_t size, unsigned seed)
{
	unsigned char *bytes = at;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (seed = seed * 1664525 + 1013904223) >> 24;
}

int filled(const void *at, size_t size, unsigned seed)
{
	const unsigned char *bytes = at;

	for (size_t i = 0; i < size; i++)
		if (bytes[i] != (unsigned char)((seed = seed * 1664525 + 1013904223) >> 24))
			return 0;
	return 1;
}

int scratch(const char *name, const void *content, size_t size)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, content, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0)
		say("failed: scratch file %s: %s", name, errno_name(errno));
	return fd;
}

void *pages(size_t count)
{
	void *at = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}
