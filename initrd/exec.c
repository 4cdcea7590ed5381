/*
 * Programs that the host runs in a guest beside the first one: for each a port
 * of its own, which the host plugs in, and a process here that serves it.
 *
 * On the port, both ways: a letter, the length (4 bytes, little endian), bytes.
 *
 * From the host: f  a file follows: its path, a NUL, its mode in octal
 *                d  bytes of the file, or of the program's input
 *                e  the end of them
 *                r  run: strings that each end with a NUL: "tty" or "pipe", the
 *                   number of arguments, the arguments, the variables
 *                w  the terminal's size: "ROWS COLUMNS"
 * To the host:   k  the file is there, or the program has begun
 *                n  no such program
 *                o  output                 p  output on standard error
 *                s  the status: "exit N" or "signal N"
 *                x  what failed
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "init.h"

#define LONGEST (1 << 18)

struct frame {
	char kind;
	uint32_t length;
	char bytes[LONGEST + 1];
};

static int port;
static struct frame frame;
/* How many bytes of a frame have come, its head included. */
static size_t come;
/* The program and the ends of its streams that are ours; negative when there is none. */
static pid_t program = -1;
static int input_end = -1, output_end = -1, error_end = -1;
static int terminal;

/*
 * Ends whatever the program left behind, and us: first it learns that nobody
 * listens any more, so that it can clean up, and then it has to end.
 */
static void end_session(void)
{
	DIR *proc;

	for (int tries = 0; tries < 600; tries++) {
		struct dirent *entry;
		int left = 0;

		proc = opendir("/proc");
		while (proc && (entry = readdir(proc))) {
			char path[64], text[512], *rest;
			int parent = 0;

			snprintf(path, sizeof path, "/proc/%.16s/stat", entry->d_name);
			int fd = *entry->d_name >= '1' && *entry->d_name <= '9' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
			ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
			if (fd >= 0)
				close(fd);
			text[n > 0 ? n : 0] = 0;
			rest = strrchr(text, ')');
			if (rest && sscanf(rest, ") %*c %d", &parent) == 1 && parent == getpid()) {
				kill(atoi(entry->d_name), tries ? tries < 500 ? 0 : SIGKILL : SIGHUP);
				left++;
			}
		}
		if (proc)
			closedir(proc);
		/* After the signal: whoever cleans up does nothing more with what came so far. */
		if (input_end >= 0)
			close(input_end);
		input_end = -1;
		if (!left)
			break;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		usleep(10000);
	}
	_exit(0);
}

static void put_all(const void *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = write(port, (const char *)bytes + done, length - done);
		struct pollfd ready = { port, POLLOUT, 0 };

		if (n > 0)
			done += n;
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			end_session();
		else if (poll(&ready, 1, -1) > 0 && ready.revents & (POLLHUP | POLLERR))
			end_session();
	}
}

static void tell(char kind, const void *bytes, uint32_t length)
{
	char head[5] = { kind };

	memcpy(head + 1, &length, sizeof length);
	put_all(head, sizeof head);
	put_all(bytes, length);
}

static void tell_text(char kind, const char *what, const char *about)
{
	char text[512];

	snprintf(text, sizeof text, "%s%s", what, about);
	tell(kind, text, strlen(text));
}

/* Reads more of a frame; true when it is whole. */
static int receive(void)
{
	char head[5];
	ssize_t n;

	if (come < sizeof head) {
		memcpy(head, &frame.kind, 1);
		memcpy(head + 1, &frame.length, 4);
		n = read(port, head + come, sizeof head - come);
		frame.kind = head[0];
		memcpy(&frame.length, head + 1, 4);
	} else {
		n = read(port, frame.bytes + come - sizeof head, frame.length - (come - sizeof head));
	}
	/* No bytes: the host's end is closed. */
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		end_session();
	come += n > 0 ? n : 0;
	if (come >= sizeof head && frame.length > LONGEST)
		end_session();
	if (come < sizeof head || come < sizeof head + frame.length)
		return 0;
	come = 0;
	frame.bytes[frame.length] = 0;
	return 1;
}

static void next_frame(void)
{
	while (!receive())
		poll(&(struct pollfd){ port, POLLIN, 0 }, 1, -1);
}

/* Writes a file; the frames that follow are its bytes. */
static void take_file(void)
{
	char *path = strdup(frame.bytes);
	int mode = strtol(frame.bytes + strlen(frame.bytes) + 1, NULL, 8), failed = 0;
	char *beside = NULL;
	/* Two sessions may bring the same program, and one may run it already. */
	asprintf(&beside, "%s.%d", path, (int)getpid());
	int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	if (fd < 0 || fchmod(fd, mode))
		failed = errno;
	for (;;) {
		next_frame();
		if (frame.kind == 'e')
			break;
		for (size_t done = 0; !failed && done < frame.length;) {
			ssize_t n = write(fd, frame.bytes + done, frame.length - done);

			if (n < 0 && errno != EINTR)
				failed = errno;
			done += n > 0 ? n : 0;
		}
	}
	if (fd >= 0)
		close(fd);
	if (!failed && rename(beside, path))
		failed = errno;
	free(beside);
	if (failed)
		tell_text('x', "cannot write the file: ", strerror(failed));
	else
		tell('k', "", 0);
	free(path);
}

/* In the new process: its streams, its session, the program; the reason when that fails goes to `failed`. */
static void become(char **argv, char **envp, int in, int out, int err, int failed)
{
	sigset_t none;

	setsid();
	if (terminal)
		ioctl(in, TIOCSCTTY, 0);
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	environ = envp;
	execvp(argv[0], argv);
	int why = errno;
	write(failed, &why, sizeof why);
	_exit(127);
}

static int open_terminal(int *theirs)
{
	int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	if (ours < 0 || grantpt(ours) || unlockpt(ours))
		return -1;
	*theirs = open(ptsname(ours), O_RDWR | O_NOCTTY | O_CLOEXEC);
	return *theirs < 0 ? -1 : ours;
}

/* Starts the program of a frame `r`; false when there is none of that name. */
static int begin(void)
{
	char *at = frame.bytes, *end = frame.bytes + frame.length, **argv, **envp;
	int theirs[3] = { -1, -1, -1 }, ours[3] = { -1, -1, -1 }, failed[2], why = 0;
	long count;

	terminal = !strcmp(at, "tty");
	at += strlen(at) + 1;
	count = at < end ? strtol(at, NULL, 10) : 0;
	at += strlen(at) + 1;
	argv = calloc(frame.length + 2, sizeof *argv);
	envp = argv + count + 1;
	for (long i = 0; at < end; i++, at += strlen(at) + 1)
		argv[i < count ? i : i + 1] = at;
	if (count < 1 || !argv[0] || pipe2(failed, O_CLOEXEC))
		end_session();
	if (terminal) {
		ours[0] = ours[1] = open_terminal(&theirs[0]);
		theirs[1] = theirs[2] = theirs[0];
	} else {
		for (int i = 0; i < 3; i++) {
			int ends[2] = { -1, -1 };

			pipe2(ends, O_CLOEXEC);
			theirs[i] = ends[i != 0];
			ours[i] = ends[i == 0];
			fcntl(ours[i], F_SETFL, O_NONBLOCK);
		}
	}
	if (ours[0] < 0 || ours[1] < 0) {
		tell_text('x', "cannot open its streams: ", strerror(errno));
		end_session();
	}
	program = fork();
	if (program == 0)
		become(argv, envp, theirs[0], theirs[1], theirs[2], failed[1]);
	close(failed[1]);
	for (int i = 0; i < (terminal ? 1 : 3); i++)
		close(theirs[i]);
	read(failed[0], &why, sizeof why);
	close(failed[0]);
	if (why || program < 0) {
		for (int i = terminal ? 1 : 0; i < 3; i++)
			close(ours[i]);
		waitpid(program, NULL, 0);
		if (why == ENOENT) {
			tell('n', "", 0);
		} else {
			tell_text('x', "cannot run it: ", strerror(why));
			end_session();
		}
		free(argv);
		return 0;
	}
	input_end = ours[0];
	output_end = ours[1];
	error_end = ours[2];
	tell('k', "", 0);
	return 1;
}

/* Passes on what there is; false when there will be no more. */
static int pass_on(int fd, char kind)
{
	static char bytes[1 << 14];
	ssize_t n = read(fd, bytes, sizeof bytes);

	if (n > 0)
		tell(kind, bytes, n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Does what a frame says while the program runs; false while its input takes no more. */
static int obey(size_t *done)
{
	struct winsize size = { 0 };

	if (frame.kind == 'd' && input_end >= 0) {
		ssize_t n = write(input_end, frame.bytes + *done, frame.length - *done);

		*done += n > 0 ? n : 0;
		if (n < 0 && errno == EAGAIN)
			return 0;
		/* A program that has closed its input wants no more. */
		return n < 0 || *done == frame.length;
	}
	if (frame.kind == 'e' && input_end >= 0) {
		if (terminal)
			return 1;
		close(input_end);
		input_end = -1;
	}
	if (frame.kind == 'w' && sscanf(frame.bytes, "%hu %hu", &size.ws_row, &size.ws_col) == 2 && terminal)
		ioctl(output_end, TIOCSWINSZ, &size);
	return 1;
}

static volatile sig_atomic_t child_ended;

static void on_child(int unused)
{
	(void)unused;
	child_ended = 1;
}

/* From the program's start to its end. */
static void attend_program(void)
{
	sigset_t child, before;
	int word, status = 0, waits = 0, over = 0;
	size_t done = 0;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &before);
	while (!over) {
		struct pollfd fds[] = {
			{ waits ? -1 : port, POLLIN, 0 },
			{ output_end, POLLIN, 0 },
			{ terminal ? -1 : error_end, POLLIN, 0 },
			{ waits ? input_end : -1, POLLOUT, 0 },
		};

		for (pid_t ended; (ended = waitpid(-1, &word, WNOHANG)) > 0;) {
			if (ended != program)
				continue;
			status = word;
			over = 1;
		}
		if (over)
			break;
		if (ppoll(fds, 4, NULL, &before) < 0)
			continue;
		if (fds[1].revents && !pass_on(output_end, 'o'))
			output_end = -1;
		if (fds[2].revents && !pass_on(error_end, 'p'))
			error_end = -1;
		if (fds[3].revents || (fds[0].revents && receive())) {
			waits = !obey(&done);
			done = waits ? done : 0;
		}
	}
	/* What it wrote before its end. */
	for (int i = 0; i < 2; i++) {
		struct pollfd left = { i ? (terminal ? -1 : error_end) : output_end, POLLIN, 0 };

		while (left.fd >= 0 && poll(&left, 1, 0) > 0 && (left.revents & POLLIN) && pass_on(left.fd, i ? 'p' : 'o'))
			;
	}
	char text[32];
	snprintf(text, sizeof text, WIFSIGNALED(status) ? "signal %d" : "exit %d",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	tell('s', text, strlen(text));
}

void serve(unsigned number)
{
	char path[32];
	sigset_t none;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = on_child }, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGIO, SIG_IGN);
	chdir("/");
	snprintf(path, sizeof path, "/dev/vport0p%u", number);
	port = open_port(path, O_RDWR | O_NONBLOCK, POLLOUT);
	if (port < 0)
		_exit(1);
	for (;;) {
		next_frame();
		if (frame.kind == 'f')
			take_file();
		else if (frame.kind == 'r' && begin())
			break;
	}
	attend_program();
	/* The host closes its end when it has everything. */
	for (;;)
		next_frame();
}
