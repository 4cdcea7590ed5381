/* Echoes what it gets on port 5555, or the datagrams that it gets there and one above; what SIGTERM does depends on its argument. */
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void end(int signal)
{
    static const char text[] = "ended by the host\n";
    write(1, text, sizeof text - 1);
    _exit(signal == SIGTERM ? 7 : 8);
}

/* More than its client takes before it reads; the end comes at once. */
static int gift(int client)
{
    static char bytes[400000];
    int size = sizeof bytes;

    setsockopt(client, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    return write(client, bytes, size) != size;
}

/* Answers at two ports, whoever asks. */
static int datagrams(struct sockaddr_in here)
{
    struct pollfd places[2];
    struct sockaddr_in client;
    char bytes[4096];

    for (int i = 0; i < 2; i++) {
        here.sin_port = htons(5555 + i);
        places[i] = (struct pollfd){ socket(AF_INET, SOCK_DGRAM, 0), POLLIN, 0 };
        if (bind(places[i].fd, (struct sockaddr *)&here, sizeof here))
            return 2;
    }
    while (poll(places, 2, -1) > 0)
        for (int i = 0; i < 2; i++) {
            socklen_t size = sizeof client;
            ssize_t n = places[i].revents ? recvfrom(places[i].fd, bytes, sizeof bytes, 0, (void *)&client, &size) : -1;
            if (n >= 0)
                sendto(places[i].fd, bytes, n, 0, (void *)&client, size);
        }
    return 4;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "serve";
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(5555) };
    char bytes[4096];
    ssize_t n;

    printf("mode %s\n", mode);
    fflush(stdout);
    if (!strcmp(mode, "early"))
        return 3;
    if (!strcmp(mode, "daemon") && fork() != 0)
        return 0;
    if (!strcmp(mode, "daemon"))
        setsid();
    signal(SIGTERM, strcmp(mode, "stubborn") ? end : SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 16))
        return 2;
    if (!strcmp(mode, "datagrams"))
        return datagrams(here);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (!strcmp(mode, "gift"))
            return gift(client);
        while ((n = read(client, bytes, sizeof bytes)) > 0)
            if (write(client, bytes, n) != n)
                break;
        close(client);
    }
}
