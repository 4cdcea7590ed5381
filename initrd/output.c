/*
 * What programs write, on its way to the host: through a pipe or a pseudo
 * terminal, and a port that carries whole blocks where a serial port has bytes.
 *
 * The kernel's messages stay on the serial port. Programs do not get the port
 * itself: it can be opened once only, and /dev/stdout must be one that opens.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "init.h"

#define PORT "/dev/vport0p2"

/* QEMU's ring for a port has room for so many blocks. */
#define RING 128

int output = -1;

static int port = -1;
static atomic_int source = -1;
/* Numbers of ports that the host plugged in. */
static int wanted[2] = { -1, -1 };
static void (*server)(unsigned number);
static atomic_int busy;
static atomic_ullong sent;

void set_terminal(int fd, int raw)
{
	static const cc_t keys[] = {
		[VEOF] = 4, [VLNEXT] = 22, [VINTR] = 3, [VQUIT] = 28, [VSUSP] = 26,
		[VERASE] = 127, [VKILL] = 21, [VWERASE] = 23,
	};
	struct termios t;

	if (tcgetattr(fd, &t))
		return;
	memset(t.c_cc, _POSIX_VDISABLE, sizeof t.c_cc);
	t.c_cc[VEOF] = 4;
	t.c_cc[VLNEXT] = 22;
	t.c_lflag = ICANON | IEXTEN;
	t.c_iflag = t.c_oflag = 0;
	if (!raw) {
		memcpy(t.c_cc, keys, sizeof keys);
		t.c_lflag |= ISIG | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE;
		t.c_iflag |= ICRNL;
		t.c_oflag |= OPOST | ONLCR;
	}
	tcsetattr(fd, TCSANOW, &t);
}

int open_port(const char *path, int flags, short events)
{
	struct pollfd port = { -1, events, 0 };

	/* The driver makes the port in the background, and the host's end a moment later. */
	for (int tries = 0; tries < 400; tries++, usleep(5000)) {
		if (port.fd < 0)
			port.fd = open(path, flags | O_CLOEXEC);
		if (port.fd >= 0 && poll(&port, 1, 0) >= 0 &&
		    ((port.revents & events) || !(port.revents & POLLHUP)))
			break;
	}
	return port.fd;
}

/* Every byte, however often a signal or a full port comes between. */
static int send_all(const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = write(port, bytes, length);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return 0;
		if (n > 0) {
			bytes += n;
			length -= n;
		}
	}
	return 1;
}

void want_session(unsigned char number)
{
	if (wanted[1] >= 0)
		write(wanted[1], &number, 1);
}

static void begin_session(void)
{
	unsigned char number;

	if (read(wanted[0], &number, 1) == 1 && fork() == 0)
		server(number);
}

/* Passes on what programs write, as long as the machine runs. */
static void *pass_on(void *unused)
{
	static char bytes[1 << 16];
	struct pollfd from[] = { { source, POLLIN, 0 }, { wanted[0], POLLIN, 0 } };

	for (;;) {
		if (poll(from, 2, -1) < 0)
			continue;
		if (from[1].revents & POLLIN)
			begin_session();
		if (!from[0].revents)
			continue;
		/* Whoever finds the source empty and nobody busy knows that everything is on its way. */
		busy = 1;
		ssize_t n = read(source, bytes, sizeof bytes);
		if (n > 0 && send_all(bytes, n))
			sent += n;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			source = -1;
		busy = 0;
		if (source < 0)
			return unused;
	}
}

/* The end at which programs write; the other one is the source. Negative when there is none. */
static int open_source(int terminal)
{
	int ends[2];

	if (!terminal) {
		if (pipe2(ends, O_CLOEXEC))
			return -1;
		source = ends[0];
		return ends[1];
	}
	source = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (source < 0 || grantpt(source) || unlockpt(source))
		return -1;
	int fd = open(ptsname(source), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0)
		set_terminal(fd, 1);
	return fd;
}

void open_output(void (*serve)(unsigned number))
{
	const char *kind = word("output");
	sigset_t all, before;
	pthread_t thread;

	if (!kind)
		return;
	server = serve;
	port = open_port(PORT, O_WRONLY, POLLOUT);
	int fd = port < 0 ? -1 : open_source(!strcmp(kind, "terminal"));
	if (fd < 0) {
		complain("cannot open the output", kind);
		return;
	}
	pipe2(wanted, O_CLOEXEC);
	/* The host's signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (!pthread_create(&thread, NULL, pass_on, NULL))
		output = fd;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	report("output\n");
}

void drain_output(void)
{
	if (output < 0) {
		while (tcdrain(1) && errno == EINTR)
			;
		return;
	}
	/* The order matters: what has left the source is in busy hands. */
	while (poll(&(struct pollfd){ source, POLLIN, 0 }, 1, 0) > 0 || busy)
		usleep(500);
}

void end_output(void)
{
	static char bytes[1 << 16];
	unsigned long long size;
	int core;

	if (output < 0)
		return;
	drain_output();
	core = open_core(&size);
	if (size)
		report("core %llu\n", size);
	report("output %llu\n", (unsigned long long)sent);
	while (tcdrain(control) && errno == EINTR)
		;
	for (ssize_t n; size && (n = read(core, bytes, size < sizeof bytes ? size : sizeof bytes)) > 0; size -= n)
		send_all(bytes, n);
	/*
	 * A reset would lose what QEMU has not taken out of the ring. When the ring is
	 * full of blocks that nobody needs, it has taken all those before them; the
	 * host knows the number of bytes that count.
	 */
	for (int i = 0; i <= RING; i++)
		send_all("", 1);
}
