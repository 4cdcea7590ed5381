/*
 * Process 1 of an image: makes the machine usable, runs the commands of
 * /etc/ukl/command one after the other, tells the host on the second serial
 * port how each ended, and ends the machine.
 *
 * The command file is a row of NUL-terminated strings: `raw` or `cooked` (the
 * console), then for each command its number of arguments, its number of
 * environment variables, the path, the arguments and the variables.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define CONSOLE "/dev/ttyS0"
#define CONTROL "/dev/ttyS1"
#define COMMANDS "/etc/ukl/command"

static int control = -1;

/* Tells the host; a guest without a second port runs on in silence. */
static void report(const char *format, ...)
{
	char line[64];
	va_list args;

	va_start(args, format);
	int length = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	for (int done = 0; control >= 0 && done < length;) {
		ssize_t n = write(control, line + done, length - done);
		if (n > 0)
			done += n;
		else if (errno != EINTR)
			break;
	}
}

static void complain(const char *what, const char *about)
{
	dprintf(2, "init: %s `%s`: %s\n", what, about, strerror(errno));
}

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
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },	{ "/proc/self/fd/2", "/dev/stderr" },
	};
	for (unsigned i = 0; i < sizeof links / sizeof *links; i++)
		symlink(links[i][0], links[i][1]);
}

static void set_address(int fd, struct ifreq *ifr, unsigned long request, const char *address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&ifr->ifr_addr;

	memset(in, 0, sizeof *in);
	in->sin_family = AF_INET;
	inet_pton(AF_INET, address, &in->sin_addr);
	if (ioctl(fd, request, ifr))
		complain("cannot set the address of", ifr->ifr_name);
}

/* Brings `name` up, with `address` if it is not NULL; false when there is no such interface. */
static int interface_up(int fd, const char *name, const char *address, const char *mask)
{
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, name);
	if (ioctl(fd, SIOCGIFFLAGS, &ifr))
		return 0;
	short flags = ifr.ifr_flags;
	if (address) {
		set_address(fd, &ifr, SIOCSIFADDR, address);
		set_address(fd, &ifr, SIOCSIFNETMASK, mask);
	}
	ifr.ifr_flags = flags | IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr))
		complain("cannot bring up", name);
	return 1;
}

/* The addresses of QEMU's user-mode network. */
static void network(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	struct sockaddr_in *gateway = (struct sockaddr_in *)&route.rt_gateway;

	if (fd < 0)
		return;
	interface_up(fd, "lo", NULL, NULL);
	if (interface_up(fd, "eth0", "10.0.2.15", "255.255.255.0")) {
		route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
		gateway->sin_family = AF_INET;
		inet_pton(AF_INET, "10.0.2.2", &gateway->sin_addr);
		if (ioctl(fd, SIOCADDRT, &route))
			complain("cannot set the route through", "eth0");
	}
	close(fd);
}

/*
 * Raw: what the program writes reaches the host byte by byte, and what the
 * host sends reaches the program, except ^D (end of input) and ^V (takes the
 * next byte as it is). Cooked: a terminal with a person at it.
 */
static void set_console(int raw)
{
	static const cc_t keys[] = {
		[VEOF] = 4, [VLNEXT] = 22, [VINTR] = 3, [VQUIT] = 28, [VSUSP] = 26,
		[VERASE] = 127, [VKILL] = 21, [VWERASE] = 23,
	};
	struct termios t;

	if (tcgetattr(0, &t))
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
	tcsetattr(0, TCSANOW, &t);
}

static void open_console(void)
{
	int fd = open(CONSOLE, O_RDWR | O_NOCTTY);

	for (int i = 0; fd >= 0 && i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
	control = open(CONTROL, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios t;
	if (control >= 0 && !tcgetattr(control, &t)) {
		cfmakeraw(&t);
		tcsetattr(control, TCSANOW, &t);
	}
}

/* Starts a command in its own session with the console as terminal; returns its process. */
static pid_t start(const char *path, char **argv, char **envp)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	setsid();
	ioctl(0, TIOCSCTTY, 1);
	execve(path, argv, envp);
	int code = errno == ENOENT ? 127 : 126;
	complain("cannot run", path);
	_exit(code);
}

/* Waits for `pid`, reaping whatever else ends; its wait status. */
static int wait_for(pid_t pid)
{
	int status;

	for (;;) {
		pid_t ended = wait(&status);
		if (ended == pid)
			return status;
		if (ended < 0 && errno != EINTR)
			return 255 << 8;
	}
}

static void run(unsigned index, const char *path, char **argv, char **envp)
{
	report("run %u\n", index);
	pid_t pid = start(path, argv, envp);
	int status = pid < 0 ? 126 << 8 : wait_for(pid);

	if (pid < 0)
		complain("cannot fork for", path);
	/* What the program wrote must be on its way before the host hears of its end. */
	tcdrain(1);
	tcflush(0, TCIFLUSH);
	if (WIFSIGNALED(status))
		report("signal %d\n", WTERMSIG(status));
	else
		report("exit %d\n", WEXITSTATUS(status));
}

/* The whole file with a NUL behind it, or NULL. */
static char *read_file(const char *path, size_t *size)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st))
		return NULL;
	char *text = calloc(1, st.st_size + 1);
	for (*size = 0; text && *size < (size_t)st.st_size;) {
		ssize_t n = read(fd, text + *size, st.st_size - *size);
		if (n <= 0)
			break;
		*size += n;
	}
	close(fd);
	return text;
}

static char *next(char **at, char *end)
{
	char *string = *at;

	if (string >= end)
		return NULL;
	*at += strlen(string) + 1;
	return string;
}

static char **strings(char **at, char *end, unsigned count)
{
	char **list = calloc(count + 1, sizeof *list);

	for (unsigned i = 0; list && i < count; i++)
		list[i] = next(at, end);
	return list;
}

static void run_commands(void)
{
	size_t size = 0;
	char *at = read_file(COMMANDS, &size), *end = at + size;
	char *mode = at ? next(&at, end) : NULL;

	if (!mode) {
		complain("cannot read", COMMANDS);
		return;
	}
	set_console(!strcmp(mode, "raw"));
	for (unsigned index = 0;; index++) {
		char *argc = next(&at, end), *envc = next(&at, end), *path = next(&at, end);
		if (!path)
			return;
		char **argv = strings(&at, end, strtoul(argc, NULL, 10));
		char **envp = strings(&at, end, strtoul(envc, NULL, 10));
		if (argv && envp)
			run(index, path, argv, envp);
	}
}

int main(void)
{
	struct rlimit files = { 1024, 1 << 20 };

	mount_all();
	open_console();
	report("start\n");
	network();
	setrlimit(RLIMIT_NOFILE, &files);
	run_commands();
	kill(-1, SIGKILL);
	sync();
	tcdrain(1);
	if (control >= 0)
		tcdrain(control);
	/* Without ACPI there is no power switch; QEMU ends at a reset (-no-reboot). */
	reboot(RB_AUTOBOOT);
	complain("cannot end the machine", "reboot");
	for (;;)
		pause();
}
