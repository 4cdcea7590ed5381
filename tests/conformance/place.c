/* Every system call argument that is memory, in every kind of memory a program has. */
#include "suite.h"
#include <arpa/inet.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#define SIZE 512

static const char in_rodata[SIZE] __attribute__((aligned(16))) = "hello";
static char in_data[SIZE] __attribute__((aligned(16))) = "hello";
static char in_bss[SIZE] __attribute__((aligned(16)));
static __thread char in_tdata[SIZE] __attribute__((aligned(16))) = "hello";
static __thread char in_tbss[SIZE] __attribute__((aligned(16)));

/* Calls @probe with @size bytes at each place, which hold @initial; prints its answer for each. */
static void everywhere(long (*probe)(void *at), const void *initial, size_t size)
{
	char in_stack[SIZE] __attribute__((aligned(16)));
	char *heap = malloc(SIZE), *big = malloc(1 << 20), *map = pages(2);
	char *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* Behind this one there is nothing: a byte too many would fault. */
	char *edge = pages(2);
	struct {
		const char *name;
		char *at;
	} places[] = {
		{ "rodata", (char *)in_rodata }, { "data", in_data }, { "bss", in_bss }, { "tdata", in_tdata },
		{ "tbss", in_tbss }, { "stack", in_stack }, { "heap", heap }, { "big heap", big }, { "map", map },
		{ "page crossing", map + PAGE - 8 }, { "shared", shared },
		{ "edge", edge + PAGE - ((size + 7) & ~7UL) },
	};

	munmap(edge + PAGE, PAGE);
	for (size_t i = 0; i < COUNT(places); i++) {
		if (places[i].at != in_rodata) {
			memset(places[i].at, 0, size);
			memcpy(places[i].at, initial ? initial : "", initial ? size : 0);
		}
		errno = 0;
		say("%s: %s", places[i].name, answer(probe(places[i].at)));
	}
}

#define PLACE(name, initial, size) \
	static long name##_at(void *at); \
	CASE(name) { everywhere(name##_at, initial, size); } \
	static long name##_at(void *at)

PLACE(place_write, "hello", 6)
{
	char back[8] = "";
	int fd[2];

	EXPECT(pipe(fd) == 0);
	long result = write(fd[1], at, 6);

	EXPECT(read(fd[0], back, 6) == 6 && strcmp(back, "hello") == 0);
	close(fd[0]), close(fd[1]);
	return result;
}

PLACE(place_read, NULL, 6)
{
	int fd[2];

	EXPECT(pipe(fd) == 0 && write(fd[1], "filled", 6) == 6);
	long result = read(fd[0], at, 6);

	EXPECT(result < 0 || memcmp(at, "filled", 6) == 0);
	close(fd[0]), close(fd[1]);
	return result;
}

PLACE(place_pread_file, NULL, 200)
{
	char content[200];
	int fd;

	fill(content, sizeof(content), 3);
	fd = scratch("content", content, sizeof(content));
	long result = pread(fd, at, 200, 0);

	EXPECT(result < 0 || filled(at, 200, 3));
	close(fd);
	return result;
}

PLACE(place_iovec, NULL, 32)
{
	struct iovec *vector = at;
	int fd[2];
	char back[12] = "";
	long result;

	if (at != in_rodata) {
		vector[0] = (struct iovec){ "abc", 3 };
		vector[1] = (struct iovec){ (char *)in_rodata, 5 };
	}
	EXPECT(pipe(fd) == 0);
	result = writev(fd[1], at == in_rodata ? (struct iovec[]){ { "", 0 } } : vector, at == in_rodata ? 1 : 2);
	EXPECT(at == in_rodata || (read(fd[0], back, 8) == 8 && strcmp(back, "abchello") == 0));
	close(fd[0]), close(fd[1]);
	return result;
}

PLACE(place_path, "hello", 6)
{
	struct stat status;

	close(scratch("hello", "", 0));
	return stat(at, &status);
}

PLACE(place_stat, NULL, sizeof(struct stat))
{
	long result = syscall(SYS_stat, "/proc/self", at);

	EXPECT(result < 0 || S_ISDIR(((struct stat *)at)->st_mode));
	return result;
}

PLACE(place_getcwd, NULL, 200)
{
	return syscall(SYS_getcwd, at, 200) > 0 ? 0 : -1;
}

PLACE(place_readlink, NULL, 200)
{
	return readlink("/proc/self/cwd", at, 200) > 0 ? 0 : -1;
}

PLACE(place_getdents, NULL, 300)
{
	int fd = open(".", O_RDONLY | O_DIRECTORY);
	long result = syscall(SYS_getdents64, fd, at, 300);

	close(fd);
	return result;
}

PLACE(place_pipe, NULL, 8)
{
	int *fd = at;
	long result = pipe(fd);

	if (result == 0)
		close(fd[0]), close(fd[1]);
	return result;
}

PLACE(place_sockopt_value, NULL, 4)
{
	socklen_t length = 4;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	long result = getsockopt(fd, SOL_SOCKET, SO_TYPE, at, &length);

	EXPECT(result < 0 || *(int *)at == SOCK_STREAM);
	close(fd);
	return result;
}

PLACE(place_sockopt_length, "\4\0\0", 4)
{
	int value = 0, fd = socket(AF_INET, SOCK_STREAM, 0);
	long result = getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, at);

	close(fd);
	return result;
}

PLACE(place_setsockopt, "\1\0\0", 4)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	long result = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, at, 4);

	close(fd);
	return result;
}

static const struct sockaddr_in loopback = { .sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f };

PLACE(place_address, &loopback, sizeof(loopback))
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	long result = bind(fd, at == in_rodata ? (void *)&loopback : at, sizeof(loopback));

	close(fd);
	return result;
}

PLACE(place_getsockname, NULL, sizeof(struct sockaddr_in))
{
	socklen_t length = sizeof(struct sockaddr_in);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	EXPECT(bind(fd, (void *)&loopback, sizeof(loopback)) == 0);
	long result = getsockname(fd, at, &length);

	EXPECT(result < 0 || ((struct sockaddr_in *)at)->sin_addr.s_addr == loopback.sin_addr.s_addr);
	close(fd);
	return result;
}

PLACE(place_message, NULL, sizeof(struct msghdr))
{
	static struct iovec vector = { in_bss + 256, 8 };
	struct msghdr *message = at, plain = { .msg_iov = &vector, .msg_iovlen = 1 };
	int fd[2];
	long result;

	if (at == in_rodata)
		message = &plain;
	else
		*message = plain;
	EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd) == 0);
	result = syscall(SYS_sendmsg, fd[0], message, 0);
	EXPECT(syscall(SYS_recvmsg, fd[1], message, 0) == 8);
	close(fd[0]), close(fd[1]);
	return result;
}

PLACE(place_send_recv, NULL, 300)
{
	int fd[2];
	long result;

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	EXPECT(send(fd[0], at, 300, 0) == 300);
	result = recv(fd[1], at, 300, 0);
	close(fd[0]), close(fd[1]);
	return result;
}

PLACE(place_poll, NULL, sizeof(struct pollfd))
{
	struct pollfd *poll_at = at;
	int fd[2];
	long result;

	EXPECT(pipe(fd) == 0 && write(fd[1], "x", 1) == 1);
	if (at != in_rodata)
		*poll_at = (struct pollfd){ .fd = fd[0], .events = POLLIN };
	result = poll(poll_at, 1, 1000);
	EXPECT(at == in_rodata || poll_at->revents == POLLIN);
	close(fd[0]), close(fd[1]);
	return at == in_rodata ? (result < 0 ? -1 : 0) : result;
}

PLACE(place_select, NULL, sizeof(fd_set))
{
	struct timeval zero = { 0, 0 };
	int fd[2];
	long result;

	EXPECT(pipe(fd) == 0 && write(fd[1], "x", 1) == 1);
	if (at != in_rodata)
		FD_SET(fd[0], (fd_set *)at);
	result = select(at == in_rodata ? 0 : fd[0] + 1, at, NULL, NULL, &zero);
	close(fd[0]), close(fd[1]);
	return result;
}

PLACE(place_epoll, NULL, 2 * sizeof(struct epoll_event))
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = at }, *events = at;
	int fd[2], epoll = epoll_create1(0);
	long result;

	EXPECT(pipe(fd) == 0 && write(fd[1], "x", 1) == 1 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd[0], &event) == 0);
	result = epoll_wait(epoll, events, 2, 1000);
	EXPECT(result < 0 || events->data.ptr == at);
	close(fd[0]), close(fd[1]), close(epoll);
	return result;
}

PLACE(place_sleep, "\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 16)
{
	/* The read-only one holds "hello" as seconds: only look whether it is read. */
	if (at == in_rodata)
		return syscall(SYS_clock_nanosleep, 77, 0, at, NULL);
	return nanosleep(at, at);
}

PLACE(place_clock, NULL, 16)
{
	return syscall(SYS_clock_gettime, CLOCK_MONOTONIC, at);
}

PLACE(place_facts, NULL, 400)
{
	long result = syscall(SYS_uname, at);

	EXPECT(result < 0 || strcmp(((struct utsname *)at)->sysname, "Linux") == 0);
	EXPECT((syscall(SYS_sysinfo, at) < 0) == (at == in_rodata));
	EXPECT((syscall(SYS_times, at) < 0) == (at == in_rodata));
	EXPECT((syscall(SYS_getrusage, RUSAGE_SELF, at) < 0) == (at == in_rodata));
	EXPECT((syscall(SYS_gettimeofday, at, NULL) < 0) == (at == in_rodata));
	return result;
}

PLACE(place_random, NULL, 100)
{
	return getrandom(at, 100, 0);
}

PLACE(place_limits, NULL, 16)
{
	long result = syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, at);

	return result == 0 ? syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, at, NULL) : result;
}

PLACE(place_signal_sets, NULL, 32)
{
	long result = syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, at, 8L);

	return result == 0 ? syscall(SYS_rt_sigprocmask, SIG_SETMASK, at, NULL, 8L) : result;
}

PLACE(place_sigaction, NULL, 32)
{
	long result = syscall(SYS_rt_sigaction, SIGUSR1, NULL, at, 8L);

	return result == 0 ? syscall(SYS_rt_sigaction, SIGUSR1, at, NULL, 8L) : result;
}

PLACE(place_futex, NULL, 8)
{
	struct timespec soon = { 0, 1000000 };
	uint32_t value = *(uint32_t *)at;

	EXPECT(syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, value + 1, &soon, NULL, 0) == -1 && errno == EAGAIN);
	if (at != in_rodata) {
		EXPECT(syscall(SYS_futex, at, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
		EXPECT(syscall(SYS_futex, at, FUTEX_WAIT, value, &soon, NULL, 0) == -1 && errno == ETIMEDOUT);
	}
	return syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, value, &soon, NULL, 0);
}

PLACE(place_wait, NULL, 200)
{
	pid_t pid = split();
	long result;

	if (pid == 0)
		_exit(5);
	result = syscall(SYS_wait4, pid, at, 0, (char *)at + 16);
	EXPECT(result < 0 || *(int *)at == 5 << 8);
	return result < 0 ? -1 : 0;
}

PLACE(place_name, "hello", 16)
{
	char name[16] = "";

	EXPECT(prctl(PR_SET_NAME, at) == 0 && prctl(PR_GET_NAME, name) == 0);
	EXPECT(strcmp(name, "hello") == 0);
	return prctl(PR_GET_NAME, at);
}

PLACE(place_affinity, NULL, 128)
{
	return syscall(SYS_sched_getaffinity, 0, 128L, at) > 0 ? 0 : -1;
}

PLACE(place_mincore, NULL, 2)
{
	static char *two;

	if (!two) {
		two = pages(2);
		memset(two, 1, 2 * PAGE);
	}
	return mincore(two, 2 * PAGE, at);
}

PLACE(place_ioctl, NULL, 4)
{
	int fd[2];
	long result;

	EXPECT(pipe(fd) == 0 && write(fd[1], "123", 3) == 3);
	result = ioctl(fd[0], FIONREAD, at);
	EXPECT(result < 0 || *(int *)at == 3);
	close(fd[0]), close(fd[1]);
	return result;
}

PLACE(place_process_vm, "hello", 100)
{
	char copy[100];
	struct iovec local = { copy, 100 }, remote = { at, 100 };
	long result = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

	EXPECT(strcmp(copy, "hello") == 0);
	EXPECT((process_vm_writev(getpid(), &local, 1, &remote, 1, 0) < 0) == (at == in_rodata));
	return result;
}

PLACE(place_vmsplice, "hello", 8)
{
	struct iovec vector = { at, 8 };
	char back[8] = "";
	int fd[2];
	long result;

	EXPECT(pipe(fd) == 0);
	result = vmsplice(fd[1], &vector, 1, 0);
	EXPECT(read(fd[0], back, 8) == 8 && strcmp(back, "hello") == 0);
	close(fd[0]), close(fd[1]);
	return result;
}

PLACE(place_aio, NULL, sizeof(struct iocb))
{
	struct iocb *block = at, spare = { 0 }, *list;
	struct io_event event;
	aio_context_t context = 0;
	long result;

	if (at == in_rodata)
		block = &spare;
	*block = (struct iocb){ .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = open("/dev/zero", O_RDONLY),
				.aio_buf = (uintptr_t)in_bss + 256, .aio_nbytes = 16 };
	list = block;
	EXPECT(syscall(SYS_io_setup, 4, &context) == 0);
	result = syscall(SYS_io_submit, context, 1L, &list);
	EXPECT(syscall(SYS_io_getevents, context, 1L, 1L, &event, NULL) == 1 && event.res == 16);
	syscall(SYS_io_destroy, context);
	close(block->aio_fildes);
	return result;
}

FAMILY(place, T(place_write), T(place_read), T(place_pread_file), T(place_iovec), T(place_path), T(place_stat),
       T(place_getcwd), T(place_readlink), T(place_getdents), T(place_pipe), T(place_sockopt_value),
       T(place_sockopt_length), T(place_setsockopt), T(place_address), T(place_getsockname), T(place_message),
       T(place_send_recv), T(place_poll), T(place_select), T(place_epoll), T(place_sleep), T(place_clock),
       T(place_facts), T(place_random), T(place_limits), T(place_signal_sets), T(place_sigaction),
       T(place_futex), T(place_wait), T(place_name), T(place_affinity), T(place_mincore), T(place_ioctl),
       T(place_process_vm), T(place_vmsplice), T(place_aio));
