/* io_uring and the older AIO, by their system calls. */
#include "suite.h"
#include <arpa/inet.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

static struct {
	int fd;
	unsigned *head, *tail, mask, *array;
	unsigned *done_head, *done_tail, done_mask;
	struct io_uring_sqe *entries;
	struct io_uring_cqe *done;
	unsigned queued;
} ring;

static int ring_setup(unsigned entries, unsigned flags)
{
	struct io_uring_params setup = { .flags = flags };
	char *queue, *answers;
	int fd = syscall(SYS_io_uring_setup, entries, &setup);

	if (fd < 0)
		return -1;
	queue = mmap(NULL, setup.sq_off.array + setup.sq_entries * 4, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
	answers = mmap(NULL, setup.cq_off.cqes + setup.cq_entries * sizeof(struct io_uring_cqe),
		       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_CQ_RING);
	ring.entries = mmap(NULL, setup.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
	ring.fd = fd;
	ring.head = (void *)(queue + setup.sq_off.head);
	ring.tail = (void *)(queue + setup.sq_off.tail);
	ring.mask = *(unsigned *)(queue + setup.sq_off.ring_mask);
	ring.array = (void *)(queue + setup.sq_off.array);
	ring.done_head = (void *)(answers + setup.cq_off.head);
	ring.done_tail = (void *)(answers + setup.cq_off.tail);
	ring.done_mask = *(unsigned *)(answers + setup.cq_off.ring_mask);
	ring.done = (void *)(answers + setup.cq_off.cqes);
	ring.queued = 0;
	return 0;
}

static struct io_uring_sqe *queue(int op, int fd, const void *at, unsigned size, long offset, uint64_t tag)
{
	unsigned tail = *ring.tail, index = tail & ring.mask;
	struct io_uring_sqe *entry = &ring.entries[index];

	*entry = (struct io_uring_sqe){ .opcode = op, .fd = fd, .addr = (uintptr_t)at, .len = size,
					.off = offset, .user_data = tag };
	ring.array[index] = index;
	__atomic_store_n(ring.tail, tail + 1, __ATOMIC_RELEASE);
	ring.queued++;
	return entry;
}

static int submit(unsigned wait)
{
	int sent = syscall(SYS_io_uring_enter, ring.fd, ring.queued, wait, IORING_ENTER_GETEVENTS, NULL, 0L);

	if (sent > 0)
		ring.queued -= sent;
	return sent;
}

/* Takes one completion; its tag and result as a line. */
static int completion(uint64_t *tag)
{
	unsigned head = *ring.done_head;
	struct io_uring_cqe *done = &ring.done[head & ring.done_mask];
	int result;

	while (head == __atomic_load_n(ring.done_tail, __ATOMIC_ACQUIRE))
		if (submit(1) < 0)
			return -EIO;
	*tag = done->user_data;
	result = done->res;
	__atomic_store_n(ring.done_head, head + 1, __ATOMIC_RELEASE);
	return result;
}

static void report(const char *what)
{
	uint64_t tag;
	int result = completion(&tag);

	say("%s: tag %d", what, (int)tag);
	say("%s", result < 0 ? errno_name(-result) : answer(result));
}

static char in_bss[8192] __attribute__((aligned(4096)));
static char in_data[8192] __attribute__((aligned(4096))) = "x";
static const char in_rodata[64] = "constant text";

CASE(uring_basic)
{
	int fd = scratch("file", "", 0);

	REQUIRE(ring_setup(8, 0) == 0);
	queue(IORING_OP_NOP, -1, NULL, 0, 0, 1);
	say("submit %s", answer(submit(1)));
	report("nop");
	queue(IORING_OP_WRITE, fd, in_rodata, 13, 0, 2);
	submit(1);
	report("write from rodata");
	queue(IORING_OP_READ, fd, in_bss, 100, 0, 3);
	submit(1);
	report("read to bss");
	say("%s", in_bss);
	queue(IORING_OP_READ, fd, in_rodata, 4, 0, 4);
	submit(1);
	report("to rodata");
	queue(IORING_OP_READ, fd, (void *)0xffffffff81000000UL, 4, 0, 5);
	submit(1);
	report("to the kernel");
	queue(IORING_OP_READ, 4000, in_bss, 4, 0, 6);
	submit(1);
	report("bad descriptor");
	queue(200, fd, in_bss, 4, 0, 7);
	submit(1);
	report("bad operation");
}

CASE(uring_vectors)
{
	static struct iovec out[2], in[2];
	int fd = scratch("file", "", 0);
	char stack[16] = "";

	REQUIRE(ring_setup(4, 0) == 0);
	out[0] = (struct iovec){ (char *)in_rodata, 8 };
	out[1] = (struct iovec){ in_data, 1 };
	in[0] = (struct iovec){ stack, 4 };
	in[1] = (struct iovec){ in_bss, 16 };
	queue(IORING_OP_WRITEV, fd, out, 2, 0, 1)->flags = IOSQE_IO_LINK;
	queue(IORING_OP_FSYNC, fd, NULL, 0, 0, 2)->flags = IOSQE_IO_LINK;
	queue(IORING_OP_READV, fd, in, 2, 0, 3);
	submit(3);
	report("writev");
	report("fsync");
	report("readv");
	say("%s %s", stack, in_bss);
}

CASE(uring_fixed_buffers)
{
	struct iovec buffers[2] = { { in_bss, sizeof(in_bss) }, { in_data, sizeof(in_data) } };
	struct iovec bad = { (void *)0xffffffff81000000UL, 4096 };
	int fd = scratch("file", "", 0);

	REQUIRE(ring_setup(4, 0) == 0);
	say("register the kernel %s", answer(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &bad, 1)));
	say("register globals %s", answer(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, buffers, 2)));
	fill(in_data, sizeof(in_data), 4);
	queue(IORING_OP_WRITE_FIXED, fd, in_data, sizeof(in_data), 0, 1)->buf_index = 1;
	submit(1);
	report("write fixed");
	queue(IORING_OP_READ_FIXED, fd, in_bss + 96, 8000, 50, 2);
	submit(1);
	report("read fixed");
	say("equal %d", memcmp(in_bss + 96, in_data + 50, 8000) == 0);
	queue(IORING_OP_READ_FIXED, fd, in_data, 100, 0, 3);
	submit(1);
	report("outside the buffer");
}

CASE(uring_time)
{
	static struct __kernel_timespec soon = { 0, 20000000 };
	long start = now_ms();

	REQUIRE(ring_setup(4, 0) == 0);
	queue(IORING_OP_TIMEOUT, -1, &soon, 1, 0, 1);
	submit(1);
	report("timeout");
	EXPECT(now_ms() - start >= 19);
	soon.tv_sec = 100;
	queue(IORING_OP_TIMEOUT, -1, &soon, 1, 0, 2);
	queue(IORING_OP_ASYNC_CANCEL, -1, (void *)2, 0, 0, 3);
	submit(2);
	report("first");
	report("second");
}

CASE(uring_poll_and_pipe)
{
	int fd[2];

	EXPECT(pipe(fd) == 0);
	REQUIRE(ring_setup(8, 0) == 0);
	queue(IORING_OP_POLL_ADD, fd[0], NULL, 0, 0, 1)->poll32_events = POLLIN;
	queue(IORING_OP_READ, fd[0], in_bss, 16, -1, 2);
	submit(0);
	EXPECT(write(fd[1], "late", 4) == 4);
	uint64_t tag[2];
	int sum = completion(&tag[0]);

	sum += completion(&tag[1]);
	say("sum %d, tags %d", sum, (int)(tag[0] + tag[1]));
	say("%s", in_bss);
}

CASE(uring_sockets)
{
	static struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = 0x0100007f };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), server = -1;

	EXPECT(bind(listener, (void *)&address, sizeof(address)) == 0 && listen(listener, 4) == 0);
	EXPECT(getsockname(listener, (void *)&address, &length) == 0);
	REQUIRE(ring_setup(8, 0) == 0);
	queue(IORING_OP_ACCEPT, listener, NULL, 0, 0, 1);
	queue(IORING_OP_CONNECT, client, &address, 0, sizeof(address), 2);
	submit(2);
	for (int i = 0; i < 2; i++) {
		uint64_t tag;
		int result = completion(&tag);

		if (tag == 1)
			server = result;
		else
			say("connect %d", result);
	}
	EXPECT(server >= 0);
	queue(IORING_OP_RECV, server, in_bss, 64, 0, 3);
	submit(0);
	queue(IORING_OP_SEND, client, in_rodata, 13, 0, 4);
	submit(1);
	uint64_t tag[2];
	int sum = completion(&tag[0]);

	sum += completion(&tag[1]);
	say("sum %d, tags %d, %s", sum, (int)(tag[0] + tag[1]), in_bss);
	queue(IORING_OP_SHUTDOWN, client, NULL, SHUT_RDWR, 0, 5);
	submit(1);
	report("shutdown");
	queue(IORING_OP_CLOSE, client, NULL, 0, 0, 6);
	submit(1);
	report("close");
}

CASE(uring_kernel_thread)
{
	int fd = scratch("file", "by a kernel thread", 18);

	if (ring_setup(4, IORING_SETUP_SQPOLL) < 0) {
		say("%s", errno_name(errno));
		return;
	}
	queue(IORING_OP_READ, fd, in_bss, 64, 0, 1);
	syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_SQ_WAKEUP | IORING_ENTER_GETEVENTS, NULL, 0L);
	ring.queued = 0;
	report("read");
	queue(IORING_OP_WRITE, fd, in_data, 10, 0, 2)->flags = IOSQE_ASYNC;
	syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_SQ_WAKEUP | IORING_ENTER_GETEVENTS, NULL, 0L);
	ring.queued = 0;
	report("write");
	say("%s", in_bss);
}

CASE(uring_files)
{
	struct statx status;
	int fd;

	REQUIRE(ring_setup(4, 0) == 0);
	queue(IORING_OP_OPENAT, AT_FDCWD, "made", 0600, 0, 1)->open_flags = O_CREAT | O_RDWR;
	submit(1);
	uint64_t tag;

	fd = completion(&tag);
	EXPECT(fd > 2 && write(fd, "12345", 5) == 5);
	queue(IORING_OP_STATX, AT_FDCWD, "made", STATX_SIZE, (long)&status, 2);
	submit(1);
	report("statx");
	say("size %d", (int)status.stx_size);
	queue(IORING_OP_OPENAT, AT_FDCWD, (void *)0x10, 0, 0, 3);
	submit(1);
	report("bad path");
	queue(IORING_OP_UNLINKAT, AT_FDCWD, "made", 0, 0, 4);
	submit(1);
	report("unlink");
}

FAMILY(uring, T(uring_basic), T(uring_vectors), T(uring_fixed_buffers), T(uring_time), T(uring_poll_and_pipe),
       T(uring_sockets), T(uring_kernel_thread), T(uring_files));

static void aio_result(aio_context_t context, const char *what)
{
	struct io_event event = { 0 };
	struct timespec limit = { 5, 0 };
	long got = syscall(SYS_io_getevents, context, 1L, 1L, &event, &limit);

	say("%s: %s", what, answer(got));
	say("tag %d", (int)event.data);
	say("%s", event.res < 0 ? errno_name(-event.res) : answer(event.res));
}

CASE(aio_read_write)
{
	static aio_context_t context;
	static struct iocb block;
	struct iocb *list[1] = { &block };
	int fd = scratch("file", "", 0);

	EXPECT(syscall(SYS_io_setup, 16, &context) == 0);
	block = (struct iocb){ .aio_data = 1, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = fd,
			       .aio_buf = (uintptr_t)in_rodata, .aio_nbytes = 13 };
	say("submit %s", answer(syscall(SYS_io_submit, context, 1L, list)));
	aio_result(context, "write");
	block = (struct iocb){ .aio_data = 2, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd,
			       .aio_buf = (uintptr_t)in_bss, .aio_nbytes = 64 };
	say("submit %s", answer(syscall(SYS_io_submit, context, 1L, list)));
	aio_result(context, "read");
	say("%s", in_bss);
	block.aio_buf = 0xffffffff81000000;
	say("to the kernel: submit %s", answer(syscall(SYS_io_submit, context, 1L, list)));
	say("bad list %s", answer(syscall(SYS_io_submit, context, 1L, 16L)));
	say("bad context %s", answer(syscall(SYS_io_submit, 12345L, 1L, list)));
	say("destroy %s", answer(syscall(SYS_io_destroy, context)));
}

CASE(aio_poll_and_eventfd)
{
	static struct iocb block;
	struct iocb *list[1] = { &block };
	aio_context_t context = 0;
	eventfd_t count = 0;
	int fd[2], event = eventfd(0, 0);

	EXPECT(pipe(fd) == 0 && syscall(SYS_io_setup, 4, &context) == 0);
	block = (struct iocb){ .aio_data = 3, .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = fd[0],
			       .aio_buf = POLLIN, .aio_flags = IOCB_FLAG_RESFD, .aio_resfd = event };
	say("submit %s", answer(syscall(SYS_io_submit, context, 1L, list)));
	EXPECT(write(fd[1], "x", 1) == 1);
	EXPECT(eventfd_read(event, &count) == 0);
	say("events %d", (int)count);
	aio_result(context, "poll");
	say("submit %s", answer(syscall(SYS_io_submit, context, 1L, list)));
	aio_result(context, "poll again");
}

FAMILY(aio, T(aio_read_write), T(aio_poll_and_eventfd));
