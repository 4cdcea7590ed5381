/* Sends back what its client sends. When the client closes the connection, the server ends too. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 1234

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listen_at(unsigned short port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		die("bind");
	if (listen(fd, 1) < 0)
		die("listen");
	return fd;
}

/* A socket may take less than it is given. */
static void send_all(int fd, const char *bytes, ssize_t left)
{
	while (left > 0) {
		ssize_t n = write(fd, bytes, left);

		if (n < 0)
			die("write");
		bytes += n;
		left -= n;
	}
}

int main(void)
{
	char bytes[4096];
	long total = 0;
	ssize_t n;
	int listener = listen_at(PORT), client;

	printf("listening on port %d\n", PORT);
	fflush(stdout);
	client = accept(listener, NULL, NULL);
	if (client < 0)
		die("accept");
	while ((n = read(client, bytes, sizeof bytes)) > 0) {
		send_all(client, bytes, n);
		total += n;
	}
	if (n < 0)
		die("read");
	printf("the client has gone after %ld bytes\n", total);
	return 0;
}
