/* A web server with one page: whoever connects to port 8123 and sends a request gets it. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 8123
#define PAGE "<!DOCTYPE html>\n<title>ukl</title>\n<p>Hello from inside the kernel.</p>\n"

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
	if (listen(fd, 16) < 0)
		die("listen");
	return fd;
}

/* Reads up to the empty line that ends a request; false when the client went away before. */
static int read_request(FILE *client, char *line, int size)
{
	while (fgets(line, size, client))
		if (!strcmp(line, "\r\n") || !strcmp(line, "\n"))
			return 1;
	return 0;
}

static void answer(int fd)
{
	char line[1024];
	FILE *client = fdopen(fd, "r+");

	if (!client) {
		close(fd);
		return;
	}
	if (read_request(client, line, sizeof line)) {
		/* A stream turns from reading to writing at a new position only. */
		fseek(client, 0, SEEK_CUR);
		fprintf(client,
			"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %zu\r\n"
			"Connection: close\r\n\r\n%s",
			strlen(PAGE), PAGE);
	}
	fclose(client);
}

int main(void)
{
	int listener = listen_at(PORT);

	printf("listening on port %d\n", PORT);
	fflush(stdout);
	for (;;) {
		int client = accept(listener, NULL, NULL);

		if (client < 0)
			die("accept");
		answer(client);
	}
}
