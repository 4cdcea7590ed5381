/* Sends back in ROT-13 each line that its client sends. When the client leaves, the server ends. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rot13.h"

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

int main(void)
{
	char *line = NULL;
	size_t size = 0;
	int listener = listen_at(PORT), client;

	printf("listening on port %d\n", PORT);
	fflush(stdout);
	client = accept(listener, NULL, NULL);
	if (client < 0)
		die("accept");
	/* Two streams: one that is read and written in turns would have to seek. */
	FILE *in = fdopen(client, "r"), *out = fdopen(dup(client), "w");
	if (!in || !out)
		die("fdopen");
	while (getline(&line, &size, in) > 0) {
		rot13(line);
		if (fputs(line, out) == EOF || fflush(out) != 0)
			die("answer");
	}
	return 0;
}
