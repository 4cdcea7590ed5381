/* Local sockets: addresses, boundaries, descriptors and credentials. */
#include "suite.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_un named = { .sun_family = AF_UNIX, .sun_path = "socket" };

CASE(unix_stream)
{
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0), server;
	struct sockaddr_un peer = { 0 };
	socklen_t length = sizeof(peer);
	char text[8] = "";

	say("nobody %s", answer(connect(client, (void *)&named, sizeof(named))));
	EXPECT(bind(listener, (void *)&named, sizeof(named)) == 0 && listen(listener, 1) == 0);
	say("bound twice %s", answer(bind(client, (void *)&named, sizeof(named))));
	EXPECT(connect(client, (void *)&named, sizeof(named)) == 0);
	server = accept(listener, (void *)&peer, &length);
	say("unnamed peer of %d bytes", (int)length);
	length = sizeof(peer);
	EXPECT(getpeername(client, (void *)&peer, &length) == 0);
	say("%s", peer.sun_path);
	EXPECT(write(client, "hi", 2) == 2 && read(server, text, 8) == 2);
	close(client);
	say("end %s", answer(read(server, text, 8)));
}

CASE(unix_abstract)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	socklen_t length;
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0), other = socket(AF_UNIX, SOCK_DGRAM, 0);
	char text[8] = "";

	length = offsetof(struct sockaddr_un, sun_path) + 1 +
		 snprintf(name.sun_path + 1, 32, "abstract-%d", getpid());
	EXPECT(bind(fd, (void *)&name, length) == 0);
	EXPECT(sendto(other, "word", 4, 0, (void *)&name, length) == 4 && recv(fd, text, 8, 0) == 4);
	say("%s", text);
}

CASE(unix_seqpacket)
{
	int pair[2];
	char text[16] = "";

	EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) == 0);
	EXPECT(send(pair[0], "first", 5, MSG_EOR) == 5 && send(pair[0], "second", 6, 0) == 6);
	say("%s %.5s", answer(recv(pair[1], text, 16, 0)), text);
	say("truncated %s", answer(recv(pair[1], text, 3, MSG_TRUNC)));
	say("empty %s", answer(recv(pair[1], text, 3, 0)));
}

static int send_descriptors(int to, const int *descriptors, int count)
{
	char control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec vector = { "d", 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	struct cmsghdr *part = CMSG_FIRSTHDR(&message);

	part->cmsg_level = SOL_SOCKET;
	part->cmsg_type = SCM_RIGHTS;
	part->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(part), descriptors, count * sizeof(int));
	return sendmsg(to, &message, 0);
}

static int receive_descriptors(int from, int *descriptors, int space, int flags)
{
	static char control[256];
	char c;
	struct iovec vector = { &c, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = CMSG_SPACE(space * sizeof(int)) };
	struct cmsghdr *part;
	int count;

	if (recvmsg(from, &message, flags) < 0)
		return -1;
	part = CMSG_FIRSTHDR(&message);
	if (!part || part->cmsg_type != SCM_RIGHTS)
		return 0;
	count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(descriptors, CMSG_DATA(part), count * sizeof(int));
	if (message.msg_flags & MSG_CTRUNC)
		say("control data truncated");
	return count;
}

CASE(unix_rights)
{
	int pair[2], in[4] = { 0 }, out[2];
	char text[8] = "";
	pid_t pid;

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	pid = split();
	if (pid == 0) {
		out[0] = scratch("given", "content", 7);
		out[1] = open("/dev/null", O_WRONLY);
		EXPECT(send_descriptors(pair[0], out, 2) == 1);
		finish();
	}
	say("got %s", answer(receive_descriptors(pair[1], in, 4, MSG_CMSG_CLOEXEC)));
	say("child %s", fate(reap(pid)));
	EXPECT(pread(in[0], text, 7, 0) == 7);
	say("%s, cloexec %d", text, fcntl(in[0], F_GETFD));
	out[0] = out[1] = 1;
	EXPECT(send_descriptors(pair[0], out, 2) == 1);
	say("room for one: %s", answer(receive_descriptors(pair[1], in, 1, 0)));
	out[0] = 5000;
	say("a bad one %s", answer(send_descriptors(pair[0], out, 1)));
}

CASE(unix_socket_through_itself)
{
	int pair[2], other[2];

	EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, other) == 0);
	EXPECT(send_descriptors(pair[0], pair, 2) == 1 && send_descriptors(other[0], pair, 1) == 1);
	close(pair[0]), close(pair[1]), close(other[0]), close(other[1]);
	/* The kernel must collect the cycle. */
	EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	say("collected");
}

CASE(unix_credentials)
{
	static char control[256];
	char c = 'x';
	struct iovec vector = { &c, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct ucred who = { 0 };
	socklen_t length = sizeof(who);
	struct cmsghdr *part;
	int pair[2], one = 1;

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	EXPECT(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &who, &length) == 0);
	say("peer is me %d, uid %d", who.pid == getpid(), who.uid);
	EXPECT(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) == 0);
	EXPECT(write(pair[0], "x", 1) == 1 && recvmsg(pair[1], &message, 0) == 1);
	part = CMSG_FIRSTHDR(&message);
	REQUIRE(part && part->cmsg_type == SCM_CREDENTIALS);
	memcpy(&who, CMSG_DATA(part), sizeof(who));
	say("sender is me %d, uid %d gid %d", who.pid == getpid(), who.uid, who.gid);
}

FAMILY(unix, T(unix_stream), T(unix_abstract), T(unix_seqpacket), T(unix_rights), T(unix_socket_through_itself),
       T(unix_credentials));
