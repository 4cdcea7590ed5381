/* Pipes, and moving data without copying it. */
#include "suite.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

static int fd[2];
static char in_data[8192] __attribute__((aligned(4096))) = "data text";
static char in_bss[8192] __attribute__((aligned(4096)));
static const char in_rodata[32] = "rodata text";

CASE(pipe_capacity)
{
	long total = 0;
	int waiting;

	EXPECT(pipe2(fd, O_NONBLOCK) == 0);
	say("empty %s", answer(read(fd[0], in_bss, 1)));
	for (ssize_t n; (n = write(fd[1], in_data, 4096)) > 0;)
		total += n;
	say("full at %ld: %s", total, errno_name(errno));
	say("size %s", answer(fcntl(fd[0], F_GETPIPE_SZ)));
	say("new %s", answer(fcntl(fd[0], F_SETPIPE_SZ, 131072)));
	EXPECT(ioctl(fd[0], FIONREAD, &waiting) == 0);
	say("waiting %d", waiting);
	say("smaller %s", answer(fcntl(fd[0], F_SETPIPE_SZ, 4096)));
	close(fd[1]);
	while (read(fd[0], in_bss, sizeof(in_bss)) > 0)
		;
	say("end %s", answer(read(fd[0], in_bss, 1)));
}

static void write_to_nobody(void)
{
	close(fd[0]);
	write(fd[1], "x", 1);
	say("still here");
}

CASE(pipe_broken)
{
	EXPECT(pipe(fd) == 0);
	say("%s", fate(in_child(write_to_nobody)));
	signal(SIGPIPE, SIG_IGN);
	close(fd[0]);
	say("ignored %s", answer(write(fd[1], "x", 1)));
}

CASE(pipe_packets)
{
	char text[16] = "";

	EXPECT(pipe2(fd, O_DIRECT) == 0 && write(fd[1], "one", 3) == 3 && write(fd[1], "second", 6) == 6);
	say("%s %s", answer(read(fd[0], text, 16)), text);
	say("%s %s", answer(read(fd[0], text, 2)), answer(poll(&(struct pollfd){ fd[0], POLLIN, 0 }, 1, 0)));
}

CASE(pipe_between_processes)
{
	static char buffer[65536];
	unsigned sum = 0, expected = 0;
	ssize_t got;
	pid_t pid;

	EXPECT(pipe(fd) == 0);
	for (unsigned i = 0; i < 300000; i++)
		expected = expected * 31 + (i & 0xff);
	pid = split();
	if (pid == 0) {
		close(fd[0]);
		for (unsigned i = 0; i < 300000;) {
			size_t size = 0;

			for (; size < 7777 && i < 300000; i++)
				buffer[size++] = i;
			EXPECT(write(fd[1], buffer, size) == (ssize_t)size);
		}
		finish();
	}
	close(fd[1]);
	while ((got = read(fd[0], buffer, sizeof(buffer))) > 0)
		for (ssize_t i = 0; i < got; i++)
			sum = sum * 31 + (unsigned char)buffer[i];
	say("equal %d", sum == expected);
	say("writer %s", fate(reap(pid)));
}

CASE(pipe_splice)
{
	int from = scratch("from", "0123456789", 10), to = scratch("to", "", 0);
	loff_t offset = 3;
	char text[16] = "";

	EXPECT(pipe(fd) == 0);
	say("in %s", answer(splice(from, &offset, fd[1], NULL, 5, 0)));
	say("offset %d", (int)offset);
	say("out %s", answer(splice(fd[0], NULL, to, NULL, 100, 0)));
	EXPECT(pread(to, text, 16, 0) == 5);
	say("%s", text);
	say("no pipe %s", answer(splice(from, NULL, to, NULL, 5, 0)));
	say("nothing %s", answer(splice(fd[0], NULL, to, NULL, 5, SPLICE_F_NONBLOCK)));
	say("offset on a pipe %s", answer(splice(fd[0], &offset, to, NULL, 5, 0)));
}

CASE(pipe_tee)
{
	int other[2];
	char one[8] = "", two[8] = "";

	EXPECT(pipe(fd) == 0 && pipe(other) == 0 && write(fd[1], "twice", 5) == 5);
	say("tee %s", answer(tee(fd[0], other[1], 100, 0)));
	EXPECT(read(fd[0], one, 8) == 5 && read(other[0], two, 8) == 5);
	say("%s %s", one, two);
}

CASE(pipe_vmsplice)
{
	char *mapped = pages(2), text[64] = "";
	struct iovec list[] = { { (char *)in_rodata, 11 }, { in_data, 9 }, { in_bss, 4 }, { mapped, 4 } };

	strcpy(in_bss, "bss ");
	strcpy(mapped, "map");
	EXPECT(pipe(fd) == 0);
	say("vmsplice %s", answer(vmsplice(fd[1], list, 4, 0)));
	EXPECT(read(fd[0], text, sizeof(text)) == 28);
	say("%s", text);
	fill(mapped, PAGE, 2);
	list[0] = (struct iovec){ mapped, PAGE };
	say("gift %s", answer(vmsplice(fd[1], list, 1, SPLICE_F_GIFT)));
	munmap(mapped, PAGE);
	EXPECT(read(fd[0], in_bss, PAGE) == (ssize_t)PAGE);
	say("read after munmap %d", filled(in_bss, PAGE, 2));
	list[0] = (struct iovec){ in_bss, 4096 };
	EXPECT(write(fd[1], "out of a pipe", 13) == 13);
	say("reverse %s %.13s", answer(vmsplice(fd[0], list, 1, 0)), in_bss);
}

CASE(pipe_sendfile)
{
	int from = scratch("from", "0123456789", 10), pair[2];
	char text[16] = "";
	off_t offset = 2;

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	say("to a socket %s", answer(sendfile(pair[0], from, &offset, 100)));
	say("offset %d", (int)offset);
	EXPECT(read(pair[1], text, 16) == 8);
	say("%s", text);
	say("to a file %s", answer(sendfile(scratch("to", "", 0), from, NULL, 100)));
	say("from a socket %s", answer(sendfile(scratch("to", "", 0), pair[0], NULL, 1)));
}

CASE(pipe_copy_file_range)
{
	int from = scratch("from", "0123456789", 10), to = scratch("to", "", 0);
	loff_t in = 4, out = 100;
	char text[16] = "";

	say("copy %s", answer(copy_file_range(from, &in, to, &out, 100, 0)));
	say("offsets %d %d", (int)in, (int)out);
	EXPECT(pread(to, text, 16, 100) == 6);
	say("%s", text);
	say("a pipe %s", pipe(fd) == 0 ? answer(copy_file_range(from, NULL, fd[1], NULL, 1, 0)) : "");
}

FAMILY(pipe, T(pipe_capacity), T(pipe_broken), T(pipe_packets), T(pipe_between_processes), T(pipe_splice),
       T(pipe_tee), T(pipe_vmsplice), T(pipe_sendfile), T(pipe_copy_file_range));
