/*
 * Appends each line that its client sends to a file in a folder of the host,
 * and then sends it back in ROT-13. When the client leaves, the server ends.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rot13.h"

#define PORT 1234
#define STORE "/mnt/strings.txt"

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

/* The line is in the host's file when this returns. */
static void store(const char *line)
{
	FILE *file = fopen(STORE, "a");

	if (!file || fputs(line, file) == EOF || fclose(file) != 0)
		die(STORE);
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;
	int lines = 0, listener = listen_at(PORT), client;

	printf("listening on port %d\n", PORT);
	fflush(stdout);
	client = accept(listener, NULL, NULL);
	if (client < 0)
		die("accept");
	/* Two streams: one that is read and written in turns would have to seek. */
	FILE *in = fdopen(client, "r"), *out = fdopen(dup(client), "w");
	if (!in || !out)
		die("fdopen");
	for (; getline(&line, &size, in) > 0; lines++) {
		store(line);
		rot13(line);
		if (fputs(line, out) == EOF || fflush(out) != 0)
			die("answer");
	}
	printf("%d strings stored\n", lines);
	return 0;
}
