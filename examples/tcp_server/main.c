/*
 * Sends back what it receives, to any number of clients at once: epoll, without threads.
 * `tcp_server [port]`, 5555 by default; ends with status 0 on SIGTERM or SIGINT.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER 65536
#define EVENTS 64

/* A connection, and what was received but not yet taken back by its client. */
struct client {
	int fd;
	size_t start, end;
	char bytes[BUFFER];
};

static int epoll;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(int fd, int how, unsigned events, void *data)
{
	struct epoll_event event = { .events = events, .data.ptr = data };

	if (epoll_ctl(epoll, how, fd, &event) < 0)
		die("epoll_ctl");
}

static int listen_at(unsigned short port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		die("bind");
	if (listen(fd, SOMAXCONN) < 0)
		die("listen");
	return fd;
}

static void welcome(int listener)
{
	int on = 1, fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct client *client = malloc(sizeof *client);

		if (!client) {
			close(fd);
			continue;
		}
		client->fd = fd;
		client->start = client->end = 0;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		watch(fd, EPOLL_CTL_ADD, EPOLLIN, client);
	}
	if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
		perror("accept4");
}

/* Sends what is left; false when the connection is dead. */
static int flush(struct client *client)
{
	while (client->start < client->end) {
		ssize_t n = send(client->fd, client->bytes + client->start, client->end - client->start, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		client->start += n;
	}
	client->start = client->end = 0;
	return 1;
}

/* A client that does not read is not read from: waits for room before more is received. */
static void serve(struct client *client)
{
	int alive = flush(client);

	while (alive && client->end == 0) {
		ssize_t n = recv(client->fd, client->bytes, sizeof client->bytes, 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		alive = n > 0;
		client->end = n > 0 ? n : 0;
		alive = alive && flush(client);
	}
	if (alive) {
		watch(client->fd, EPOLL_CTL_MOD, client->end ? EPOLLOUT : EPOLLIN, client);
		return;
	}
	close(client->fd);
	free(client);
}

int main(int argc, char **argv)
{
	int port = argc > 1 ? atoi(argv[1]) : 5555;
	struct epoll_event events[EVENTS];
	sigset_t signals;
	int listener, ending;

	if (port < 1 || port > 65535) {
		fprintf(stderr, "usage: %s [port]\n", argv[0]);
		return 2;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	ending = signalfd(-1, &signals, SFD_CLOEXEC);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (ending < 0 || epoll < 0)
		die("setup");
	listener = listen_at(port);
	watch(listener, EPOLL_CTL_ADD, EPOLLIN, &listener);
	watch(ending, EPOLL_CTL_ADD, EPOLLIN, &ending);
	printf("listening on port %d\n", port);
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &ending)
				return 0;
			if (events[i].data.ptr == &listener)
				welcome(listener);
			else
				serve(events[i].data.ptr);
		}
	}
}
