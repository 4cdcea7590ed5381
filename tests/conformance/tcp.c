/* Sockets over the loopback interface. */
#include "suite.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/errqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>

static struct sockaddr_in address;
static socklen_t address_length = sizeof(address);

static int bound(int type)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	address_length = sizeof(address);
	REQUIRE(bind(fd, (void *)&address, sizeof(address)) == 0);
	EXPECT(getsockname(fd, (void *)&address, &address_length) == 0);
	return fd;
}

static void tcp_pair(int *client, int *server)
{
	int listener = bound(SOCK_STREAM);

	EXPECT(listen(listener, 8) == 0);
	*client = socket(AF_INET, SOCK_STREAM, 0);
	REQUIRE(connect(*client, (void *)&address, sizeof(address)) == 0);
	*server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	REQUIRE(*server >= 0);
	close(listener);
}

CASE(tcp_echo)
{
	char text[32] = "";
	int client, server;
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);

	tcp_pair(&client, &server);
	EXPECT(send(client, "request", 7, 0) == 7 && recv(server, text, sizeof(text), 0) == 7);
	EXPECT(write(server, "answer", 6) == 6 && read(client, text, sizeof(text)) == 6);
	EXPECT(getpeername(client, (void *)&peer, &length) == 0);
	say("%.6s, same port %d, length %d", text, peer.sin_port == address.sin_port, (int)length);
	EXPECT(shutdown(client, SHUT_WR) == 0);
	say("end %s", answer(read(server, text, 1)));
	say("write after shutdown %s", answer(send(client, "x", 1, MSG_NOSIGNAL)));
	EXPECT(write(server, "x", 1) == 1 && read(client, text, 1) == 1);
}

CASE(tcp_forking_server)
{
	int listener = bound(SOCK_STREAM), sum = 0;
	pid_t pid;

	EXPECT(listen(listener, 16) == 0);
	pid = split();
	if (pid == 0) {
		for (int i = 0; i < 8; i++) {
			int fd = accept(listener, NULL, NULL);

			if (split() == 0) {
				char c;

				while (read(fd, &c, 1) == 1)
					c++, write(fd, &c, 1);
				finish();
			}
			close(fd);
		}
		for (int i = 0; i < 8; i++)
			wait(NULL);
		finish();
	}
	for (int i = 0; i < 8; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		char c = i;

		EXPECT(connect(fd, (void *)&address, sizeof(address)) == 0);
		EXPECT(write(fd, &c, 1) == 1 && read(fd, &c, 1) == 1);
		sum += c;
		close(fd);
	}
	say("sum %d", sum);
	say("server %s", fate(reap(pid)));
}

static int stream_fd;
static void *drain(void *at)
{
	size_t *total = at;
	char buffer[5000];
	unsigned seed = 9, bad = 0;
	ssize_t got;

	while ((got = read(stream_fd, buffer, sizeof(buffer))) > 0) {
		for (ssize_t i = 0; i < got; i++)
			bad += (unsigned char)buffer[i] != (unsigned char)((seed = seed * 1664525 + 1013904223) >> 24);
		*total += got;
	}
	return (void *)(long)bad;
}

CASE(tcp_stream)
{
	static size_t total;
	static char out[2 << 20];
	int client;
	pthread_t thread;
	void *bad;

	tcp_pair(&client, &stream_fd);
	fill(out, sizeof(out), 9);
	pthread_create(&thread, NULL, drain, &total);
	for (size_t done = 0; done < sizeof(out);) {
		ssize_t sent = send(client, out + done, sizeof(out) - done > 100001 ? 100001 : sizeof(out) - done, 0);

		REQUIRE(sent > 0);
		done += sent;
	}
	close(client);
	pthread_join(thread, &bad);
	say("%zu bytes, %ld wrong", total, (long)bad);
}

CASE(tcp_nonblocking)
{
	int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), listener = bound(SOCK_STREAM), server, error;
	struct pollfd ready = { .fd = client, .events = POLLOUT };
	socklen_t length = sizeof(error);
	static char big[1 << 20];
	long sent = 0;

	EXPECT(listen(listener, 1) == 0 && fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
	say("accept %s", answer(accept(listener, NULL, NULL)));
	say("connect %s", answer(connect(client, (void *)&address, sizeof(address))));
	EXPECT(poll(&ready, 1, 2000) == 1);
	EXPECT(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length) == 0);
	say("error %d", error);
	say("again %s", answer(connect(client, (void *)&address, sizeof(address))));
	server = accept(listener, NULL, NULL);
	say("read %s", answer(read(client, big, 1)));
	say("dontwait %s", answer(recv(server, big, 1, MSG_DONTWAIT)));
	for (ssize_t n; (n = write(client, big, sizeof(big))) > 0;)
		sent += n;
	say("full %d %s", sent > 10000, errno_name(errno));
	ready.events = POLLOUT;
	say("writable %d", poll(&ready, 1, 0));
}

CASE(tcp_errors)
{
	int fd = bound(SOCK_STREAM), client = socket(AF_INET, SOCK_STREAM, 0), server;
	struct linger reset = { 1, 0 };
	char c;

	say("refused %s", answer(connect(client, (void *)&address, sizeof(address))));
	say("in use %s", answer(bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof(address))));
	say("not connected %s", answer(recv(client, &c, 1, 0)));
	say("not a socket %s", answer(recv(1, &c, 1, 0)));
	say("family %s", answer(socket(77, SOCK_STREAM, 0)));
	say("protocol %s", answer(socket(AF_INET, SOCK_STREAM, 99)));
	say("accept on none %s", answer(accept(client, NULL, NULL)));
	close(fd);
	tcp_pair(&client, &server);
	EXPECT(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0);
	close(client);
	sleep_ms(20);
	say("reset %s", answer(read(server, &c, 1)));
	say("broken pipe %s", answer(send(server, "x", 1, MSG_NOSIGNAL)));
}

static void write_to_reset(void)
{
	int client, server;

	tcp_pair(&client, &server);
	close(server);
	EXPECT(write(client, "x", 1) == 1);
	sleep_ms(20);
	write(client, "x", 1);
	say("still here");
}

CASE(tcp_sigpipe)
{
	say("%s", fate(in_child(write_to_reset)));
}

CASE(tcp_options)
{
	int client, server, value;
	socklen_t length = sizeof(value);
	struct timeval limit = { 0, 30000 };
	struct tcp_info info;
	char c;

	tcp_pair(&client, &server);
	value = 1;
	EXPECT(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)) == 0);
	value = 0;
	EXPECT(getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, &length) == 0);
	say("nodelay %d", value);
	value = 10000;
	EXPECT(setsockopt(client, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)) == 0);
	EXPECT(getsockopt(client, SOL_SOCKET, SO_RCVBUF, &value, &length) == 0);
	say("buffer %d", value);
	EXPECT(setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
	say("time limit %s", answer(recv(client, &c, 1, 0)));
	length = sizeof(info);
	EXPECT(getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &length) == 0);
	say("state %d", info.tcpi_state);
	say("no such option %s", answer(setsockopt(client, SOL_SOCKET, 9999, &value, sizeof(value))));
}

CASE(tcp_flags)
{
	int client, server, value = 1;
	char text[16] = "";

	tcp_pair(&client, &server);
	EXPECT(send(client, "abc", 3, MSG_MORE) == 3 && send(client, "def", 3, 0) == 3);
	say("waitall %s", answer(recv(server, text, 6, MSG_WAITALL)));
	EXPECT(send(client, "123", 3, 0) == 3);
	EXPECT(recv(server, text, 3, MSG_PEEK) == 3 && recv(server, text, 2, 0) == 2);
	say("peeked and got %s", text);
	EXPECT(recv(server, text, 1, 0) == 1 && send(client, "!", 1, MSG_OOB) == 1);
	sleep_ms(10);
	say("out of band %s", answer(recv(server, text, 1, MSG_OOB)));
	say("byte %c", text[0]);
	EXPECT(setsockopt(client, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof(value)) == 0);
}

CASE(tcp_zerocopy)
{
	static char in_bss[16384], in_data[16384] = "x";
	int client, server, one = 1;
	char back[16384], control[128];
	struct msghdr message = { .msg_control = control, .msg_controllen = sizeof(control) };
	struct pollfd ready;

	tcp_pair(&client, &server);
	say("option %s", answer(setsockopt(client, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one))));
	fill(in_bss, sizeof(in_bss), 1);
	fill(in_data, sizeof(in_data), 2);
	say("bss %s", answer(send(client, in_bss, sizeof(in_bss), MSG_ZEROCOPY)));
	EXPECT(recv(server, back, sizeof(back), MSG_WAITALL) == sizeof(back) && filled(back, sizeof(back), 1));
	say("data %s", answer(send(client, in_data, sizeof(in_data), MSG_ZEROCOPY)));
	EXPECT(recv(server, back, sizeof(back), MSG_WAITALL) == sizeof(back) && filled(back, sizeof(back), 2));
	ready = (struct pollfd){ .fd = client };
	EXPECT(poll(&ready, 1, 2000) == 1);
	say("completion %s", answer(recvmsg(client, &message, MSG_ERRQUEUE)));
	say("kernel address %s", answer(send(client, (void *)0xffffffff81000000UL, 4096, MSG_ZEROCOPY)));
}

CASE(udp_datagrams)
{
	int fd = bound(SOCK_DGRAM), other = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	char text[4];

	EXPECT(connect(other, (void *)&address, sizeof(address)) == 0);
	EXPECT(send(other, "longer", 6, 0) == 6 && send(other, "", 0, 0) == 0);
	say("truncated %s", answer(recvfrom(fd, text, 4, MSG_TRUNC, (void *)&from, &length)));
	say("empty %s", answer(recv(fd, text, 4, 0)));
	EXPECT(sendto(fd, "re", 2, 0, (void *)&from, length) == 2);
	say("answer %s", answer(recv(other, text, 4, 0)));
	close(fd);
	EXPECT(send(other, "x", 1, 0) == 1);
	sleep_ms(10);
	say("nobody there %s", answer(recv(other, text, 4, 0)));
	say("too long %s", answer(send(other, malloc(70000), 70000, 0)));
}

CASE(udp_many_messages)
{
	static char out[4][8] = { "m0", "m1", "m2", "m3" };
	static char in[4][8];
	struct mmsghdr send_list[4] = { 0 }, recv_list[4] = { 0 };
	struct iovec from[4], to[4];
	int fd = bound(SOCK_DGRAM), other = socket(AF_INET, SOCK_DGRAM, 0);

	EXPECT(connect(other, (void *)&address, sizeof(address)) == 0);
	for (int i = 0; i < 4; i++) {
		from[i] = (struct iovec){ out[i], 3 };
		to[i] = (struct iovec){ in[i], 8 };
		send_list[i].msg_hdr = (struct msghdr){ .msg_iov = &from[i], .msg_iovlen = 1 };
		recv_list[i].msg_hdr = (struct msghdr){ .msg_iov = &to[i], .msg_iovlen = 1 };
	}
	say("sendmmsg %s", answer(sendmmsg(other, send_list, 4, 0)));
	say("recvmmsg %s", answer(recvmmsg(fd, recv_list, 4, MSG_WAITFORONE, NULL)));
	for (int i = 0; i < 4; i++)
		say("%d: %s of %d", i, in[i], recv_list[i].msg_len);
}

CASE(udp_control_messages)
{
	char control[256], text[8];
	struct iovec vector = { text, sizeof(text) };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	int fd = bound(SOCK_DGRAM), other = socket(AF_INET, SOCK_DGRAM, 0), one = 1;

	EXPECT(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &one, sizeof(one)) == 0);
	EXPECT(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one)) == 0);
	EXPECT(setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &one, sizeof(one)) == 0);
	EXPECT(sendto(other, "x", 1, 0, (void *)&address, sizeof(address)) == 1);
	EXPECT(recvmsg(fd, &message, 0) == 1);
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part))
		say("level %d type %d length %d", part->cmsg_level, part->cmsg_type, (int)part->cmsg_len);
}

CASE(net_names)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *list;
	char host[64], port[16];

	REQUIRE(getaddrinfo("127.0.0.1", "80", &hints, &list) == 0);
	EXPECT(getnameinfo(list->ai_addr, list->ai_addrlen, host, sizeof(host), port, sizeof(port),
			   NI_NUMERICHOST | NI_NUMERICSERV) == 0);
	say("%s %s, loopback is %d", host, port, if_nametoindex("lo"));
}

CASE(net_netlink)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
	} request = { { sizeof(request), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 }, { .ifi_family = AF_UNSPEC } };
	static char reply[8192];
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), links = 0;
	struct nlmsghdr *head = (void *)reply;
	int left;

	EXPECT(send(fd, &request, sizeof(request), 0) == sizeof(request));
	left = recv(fd, reply, sizeof(reply), 0);
	for (; NLMSG_OK(head, (unsigned)left); head = NLMSG_NEXT(head, left))
		links += head->nlmsg_type == RTM_NEWLINK;
	say("some links %d", links > 0);
}

FAMILY(tcp, T(tcp_echo), T(tcp_forking_server), T(tcp_stream), T(tcp_nonblocking), T(tcp_errors), T(tcp_sigpipe),
       T(tcp_options), T(tcp_flags), T(tcp_zerocopy), T(udp_datagrams), T(udp_many_messages),
       T(udp_control_messages), T(net_names), T(net_netlink));
