/*
 * Process 1 of an image: makes the machine usable, runs the commands of
 * /etc/ukl/command one after the other, tells the host on the second serial
 * port how each ended, and ends the machine. A daemon is waited for.
 *
 * The command file is a row of NUL-terminated strings: where input comes from
 * (see open_input), then for each command its number of arguments, its number
 * of environment variables, the path, the arguments and the variables.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define CONSOLE "/dev/ttyS0"
#define CONTROL "/dev/ttyS1"
#define COMMANDS "/etc/ukl/command"
#define PORT "/dev/vport0p1"

/* Where input comes from: see open_input. */
static const char *input;

static void mount_all(void)
{
	static const struct {
		const char *type, *where, *options;
		unsigned long flags;
	} mounts[] = {
		{ "proc", "/proc", "", MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "sysfs", "/sys", "", MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "devtmpfs", "/dev", "mode=0755", MS_NOSUID },
		{ "devpts", "/dev/pts", "mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC },
		{ "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV },
		{ "tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV },
		{ "tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV },
	};

	for (unsigned i = 0; i < sizeof mounts / sizeof *mounts; i++) {
		mkdir(mounts[i].where, 0755);
		/* A kernel configured without one is the user's choice. */
		if (mount(mounts[i].type, mounts[i].where, mounts[i].type, mounts[i].flags,
			  mounts[i].options) && errno != ENODEV)
			complain("cannot mount", mounts[i].where);
	}
	symlink("/proc/self/fd", "/dev/fd");
	symlink("fd/0", "/dev/stdin");
	symlink("fd/1", "/dev/stdout");
	symlink("fd/2", "/dev/stderr");
}

/*
 * raw: a program at the console. cooked: a person at the console.
 * port: a program and a file or pipe of the host. null: a program without input.
 */
static void open_input(void)
{
	int port = !strcmp(input, "port"), null = !strcmp(input, "null");
	int fd = port ? open_port(PORT, O_RDONLY, POLLIN) : null ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;

	set_terminal(0, strcmp(input, "cooked"));
	if (fd >= 0)
		dup2(fd, 0);
	else if (port || null)
		complain("cannot open the input", input);
}

static void open_console(void)
{
	int fd = open(CONSOLE, O_RDWR | O_NOCTTY);

	for (int i = 0; fd >= 0 && i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
}

/* The program that runs, and the signal by which the host wants all to end. */
static volatile pid_t current;
static volatile sig_atomic_t stopped;

/* Tells the host what is left of the memory; called from a signal handler, so without stdio's files. */
static void report_memory(void)
{
	static const char name[] = "MemAvailable:";
	char text[512], *at;
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	at = strstr(text, name);
	if (at)
		report("memory %ld\n", atol(at + sizeof name - 1));
}

/*
 * The host sends lines: `signal N`, for the program, whichever process that is
 * by now, `memory`, which asks what is left of it, and `exec N`: a further
 * program is wanted at port N.
 */
static void listen_to_host(int unused)
{
	static char line[32];
	static unsigned length;
	int saved = errno;
	char c;

	(void)unused;
	while (read(control, &c, 1) == 1) {
		if (c != '\n') {
			if (length < sizeof line - 1)
				line[length++] = c;
			continue;
		}
		line[length] = 0;
		length = 0;
		if (!strcmp(line, "memory"))
			report_memory();
		if (!strncmp(line, "exec ", 5))
			want_session(atoi(line + 5));
		int number = strncmp(line, "signal ", 7) ? 0 : atoi(line + 7);
		if (number == SIGTERM || number == SIGKILL)
			stopped = number;
		if (number > 0 && current > 0)
			kill(current, number);
	}
	errno = saved;
}

static void open_control(void)
{
	struct termios t;

	control = open(CONTROL, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (control < 0 || tcgetattr(control, &t))
		return;
	cfmakeraw(&t);
	/* Whoever reads takes what there is. */
	t.c_cc[VMIN] = 0;
	tcsetattr(control, TCSANOW, &t);
	/* A signal for each arrival: no process of ours need wait for the host. */
	sigaction(SIGIO, &(struct sigaction){ .sa_handler = listen_to_host, .sa_flags = SA_RESTART }, NULL);
	fcntl(control, F_SETOWN, getpid());
	fcntl(control, F_SETFL, O_ASYNC);
}

/*
 * Starts a command in its own session; returns its process. Only a person gets
 * the console as controlling terminal: the end of the session hangs it up, which
 * throws away what is not transmitted yet.
 */
static pid_t start(const char *path, char **argv, char **envp)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	setsid();
	if (!strcmp(input, "cooked"))
		ioctl(1, TIOCSCTTY, 1);
	if (output >= 0) {
		dup2(output, 1);
		dup2(output, 2);
	}
	execve(path, argv, envp);
	int code = errno == ENOENT ? 127 : 126;
	complain("cannot run", path);
	_exit(code);
}

/* Waits for `pid`, reaping whatever else ends; its wait status. */
static int wait_for(pid_t pid)
{
	int status;
	pid_t ended;

	current = pid;
	if (word("core"))
		expect_core(pid);
	/* The host may have been faster. */
	if (stopped)
		kill(pid, stopped);
	do
		ended = wait(&status);
	while (ended >= 0 ? ended != pid : errno == EINTR);
	current = 0;
	return ended < 0 ? 255 << 8 : status;
}

/*
 * A process that the ended program of `session` left behind: in a session of its
 * own it is a daemon (its number), in the old one it may yet become one (-1).
 */
static pid_t left_behind(pid_t session)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;

	while (proc && found <= 0 && (entry = readdir(proc))) {
		char path[64], text[512], *rest;
		int parent, group, own;

		if (*entry->d_name < '1' || *entry->d_name > '9')
			continue;
		snprintf(path, sizeof path, "/proc/%.16s/stat", entry->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
		if (fd >= 0)
			close(fd);
		if (n <= 0)
			continue;
		text[n] = 0;
		/* The name may hold anything; its closing bracket is the last one. */
		rest = strrchr(text, ')');
		if (!rest || sscanf(rest, ") %*c %d %d %d", &parent, &group, &own) != 3 || parent != 1)
			continue;
		/* Ours: the watcher of the port. */
		if (own == getsid(0))
			continue;
		found = own == session ? -1 : atoi(entry->d_name);
	}
	if (proc)
		closedir(proc);
	return found;
}

/* A program that put itself in the background lives on as a daemon: its wait status then. */
static int wait_for_daemons(pid_t session, int status)
{
	for (int patience = 20; status == 0 && patience > 0;) {
		pid_t pid = left_behind(session);

		if (pid == 0)
			break;
		if (pid > 0) {
			status = wait_for(pid);
		} else {
			/* Between fork and setsid; what stays in the session is no daemon. */
			usleep(10000);
			patience--;
		}
	}
	return status;
}

/*
 * Whether somebody listens on the port, as a table of /proc/net says; on the
 * loopback alone nobody outside can reach them.
 */
static int listens(const char *table, unsigned port)
{
	FILE *file = fopen(table, "re");
	char line[256], address[33];
	unsigned local, state;
	int found = 0;

	while (file && !found && fgets(line, sizeof line, file))
		found = sscanf(line, " %*u: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x", address, &local, &state) == 3 &&
			local == port && state == 10 && strcmp(address, "0100007F");
	if (file)
		fclose(file);
	return found;
}

/* Tells the host once the program listens on the port that it asks for, if it does. */
static void watch_port(void)
{
	const char *ready = word("ready");
	unsigned port = ready ? atoi(ready) : 0, doze = 20000;

	if (!port || fork() != 0)
		return;
	while (!listens("/proc/net/tcp", port) && !listens("/proc/net/tcp6", port)) {
		usleep(doze);
		/* Some never listen: that must not cost them time. */
		doze += doze < 1000000 ? doze / 50 : 0;
	}
	report("ready\n");
	_exit(0);
}

/* Tells the host if the kernel ended this process for want of memory, with its own words. */
static void report_shortage(pid_t pid)
{
	static char log[1 << 16];
	char begin[64], *at;
	int length = klogctl(3, log, sizeof log - 1);

	log[length > 0 ? length : 0] = 0;
	snprintf(begin, sizeof begin, "Killed process %d ", (int)pid);
	at = strstr(log, begin);
	if (at)
		report("shortage %.*s\n", (int)strcspn(at, "\n"), at);
}

static void run(unsigned index, const char *path, char **argv, char **envp)
{
	report("run %u\n", index);
	pid_t pid = start(path, argv, envp);
	int status = pid < 0 ? 126 << 8 : wait_for(pid);

	if (pid < 0)
		complain("cannot fork for", path);
	else
		status = wait_for_daemons(pid, status);
	/* What the program wrote must be on its way before the host hears of its end, and on disks before that. */
	sync();
	drain_output();
	tcflush(1, TCIFLUSH);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !stopped)
		report_shortage(pid);
	if (WIFSIGNALED(status))
		report("signal %d\n", WTERMSIG(status));
	else
		report("exit %d\n", WEXITSTATUS(status));
}

/* The command file and a NUL behind it; the host makes none that is longer. */
static char commands[1 << 18], *at = commands, *end = commands;

static char *next(void)
{
	char *string = at;

	if (string >= end)
		return NULL;
	at += strlen(string) + 1;
	return string;
}

/* A list of as many strings as the string `count` says. */
static char **strings(const char *count)
{
	unsigned long n = strtoul(count, NULL, 10);
	char **list = calloc(n + 1, sizeof *list);

	for (unsigned long i = 0; list && i < n; i++)
		list[i] = next();
	return list;
}

static void run_commands(void)
{
	int fd = open(COMMANDS, O_RDONLY | O_CLOEXEC);
	ssize_t size = read(fd, commands, sizeof commands - 1);

	if (size <= 0) {
		complain("cannot read", COMMANDS);
		return;
	}
	close(fd);
	end += size;
	input = next();
	for (unsigned index = 0;; index++) {
		char *argc = next(), *envc = next(), *path = next();
		if (!path || stopped)
			return;
		char **argv = strings(argc), **envp = strings(envc);
		open_console();
		open_input();
		if (argv && envp)
			run(index, path, argv, envp);
	}
}

/*
 * The machine's clock has whole seconds, and Linux does not wait for the next
 * one: it begins up to two seconds late. The host's word says when QEMU was
 * started. Clocks that are ahead of that, and machines that are started again
 * by hand with the word of another day, are left alone.
 */
static void set_clock(void)
{
	const char *started = word("clock");
	struct timespec up, now;

	if (!started || clock_gettime(CLOCK_BOOTTIME, &up) || clock_gettime(CLOCK_REALTIME, &now))
		return;
	long long due = atoll(started) + up.tv_sec * 1000LL + up.tv_nsec / 1000000;
	long long behind = due - now.tv_sec * 1000LL - now.tv_nsec / 1000000;

	if (behind <= 0 || behind > 3000)
		return;
	now = (struct timespec){ due / 1000, due % 1000 * 1000000 };
	if (clock_settime(CLOCK_REALTIME, &now))
		complain("cannot set", "the clock");
}

int main(int argc, char **argv)
{
	struct rlimit files = { 1024, 1 << 20 };

	if (argc == 4 && !strcmp(argv[1], "core"))
		return keep_core(argv[2], argv[3]);

	mount_all();
	open_console();
	open_control();
	report("start\n");
	set_clock();
	network();
	open_output(serve);
	setrlimit(RLIMIT_NOFILE, &files);
	if (mount_storage()) {
		watch_port();
		run_commands();
	}
	kill(-1, SIGKILL);
	finish_sending();
	unmount_storage();
	sync();
	end_output();
	report("end\n");
	while (tcdrain(control) && errno == EINTR)
		;
	/* The program's output ends with the program's: the kernel says no farewell. */
	int messages = open("/proc/sys/kernel/printk", O_WRONLY);
	if (messages >= 0)
		write(messages, "0", 1);
	/* Without ACPI there is no power switch; QEMU ends at a reset (-no-reboot). */
	reboot(RB_AUTOBOOT);
	complain("cannot end the machine", "reboot");
	for (;;)
		pause();
}
