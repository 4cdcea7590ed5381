/*
 * The client inside the guest: starts a server beside itself, sends it fixed
 * requests over the loopback, compares every reply, says how far the time stamp
 * counter went during each load, and asks the server to end.
 *
 * client EXCHANGES PORT REQUESTS WARM_UP LIMIT CONNECTIONS,... DEPTH,... PATH ARGV0 ARGS...
 *
 * The file EXCHANGES is a row of NUL-terminated strings: a first request and how
 * its answer ends, then each request and its reply. A request without a reply gets
 * the first answer again, but for its date. A connection is replaced after LIMIT requests.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXCHANGES 256
#define CONNECTIONS 512
/* Replies that a connection waits for. */
#define BUFFER (1 << 20)

static struct exchange {
	const char *request, *reply;
	size_t request_length, reply_length;
	/* Where in the reply anything may stand. */
	size_t any, any_length;
} exchanges[EXCHANGES];
static size_t count;

static struct connection {
	int fd;
	/* Requests on all sockets of this connection, and on this socket. */
	size_t sent, on_this;
	/* Of the last batch. */
	size_t first, batch;
} connections[CONNECTIONS];

static struct sockaddr_in server = { .sin_family = AF_INET };
static size_t limit;
static pid_t process;

static _Noreturn void die(const char *what)
{
	printf("client: error %s: %s\n", what, strerror(errno));
	exit(1);
}

static void escape(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		printf("%02x", (unsigned char)bytes[i]);
}

/* Both in hexadecimal: what they are is for the host to show. */
static void wrong(const char *got, size_t length, const char *wanted, size_t wanted_length)
{
	printf("client: wrong ");
	escape(got, length);
	putchar(' ');
	escape(wanted, wanted_length);
	putchar('\n');
	exit(1);
}

static int try_to_connect(void)
{
	/* Time passes at once where nothing happens. */
	struct timeval patience = { 60, 0 };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (!connect(fd, (struct sockaddr *)&server, sizeof server))
		return fd;
	close(fd);
	return -1;
}

static void connect_to_server(struct connection *to)
{
	to->fd = try_to_connect();
	to->on_this = 0;
	if (to->fd < 0)
		die("the server cannot be reached");
}

static void send_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);

		if (n < 0)
			die("a request cannot be sent");
		bytes += n;
		length -= n;
	}
}

/* Sends as many of `requests` in one piece as may be under way. */
static void send_batch(struct connection *on, size_t requests, size_t depth)
{
	static char buffer[BUFFER];
	size_t room, length = 0;

	if (on->on_this >= limit) {
		close(on->fd);
		connect_to_server(on);
	}
	room = limit - on->on_this;
	on->batch = depth < requests ? depth : requests;
	on->batch = on->batch < room ? on->batch : room;
	on->first = on->sent;
	for (size_t i = 0; i < on->batch; i++) {
		const struct exchange *next = &exchanges[(on->first + i) % count];

		memcpy(buffer + length, next->request, next->request_length);
		length += next->request_length;
	}
	send_all(on->fd, buffer, length);
	on->sent += on->batch;
	on->on_this += on->batch;
}

/* Takes the replies of the batch that was sent, and nothing else. */
static void take_batch(const struct connection *on)
{
	static char buffer[BUFFER];
	size_t length = 0, wanted = 0, at = 0;

	for (size_t i = 0; i < on->batch; i++)
		wanted += exchanges[(on->first + i) % count].reply_length;
	while (length < wanted) {
		/* More than is wanted shows what is too much. */
		ssize_t n = recv(on->fd, buffer + length, sizeof buffer - length, 0);

		if (n <= 0)
			break;
		length += n;
	}
	for (size_t i = 0; i < on->batch; i++) {
		const struct exchange *one = &exchanges[(on->first + i) % count];

		if (at + one->reply_length > length)
			wrong(buffer + at, length - at, one->reply, one->reply_length);
		memcpy(buffer + at + one->any, one->reply + one->any, one->any_length);
		if (memcmp(buffer + at, one->reply, one->reply_length))
			wrong(buffer + at, one->reply_length, one->reply, one->reply_length);
		at += one->reply_length;
	}
	if (at != length)
		wrong(buffer + at, length - at, "", 0);
}

/* So many requests over each connection, in a fixed order; the connections stay in step. */
static void send_requests(size_t connected, size_t requests, size_t depth)
{
	for (size_t done = 0; done < requests; done += connections[0].batch) {
		for (size_t i = 0; i < connected; i++)
			send_batch(&connections[i], requests - done, depth);
		for (size_t i = 0; i < connected; i++)
			take_batch(&connections[i]);
	}
}

/* For how many nanoseconds the processor had nothing to do since the start. */
static unsigned long long idle_ns(void)
{
	static const char name[] = ".idle_sleeptime";
	FILE *file = fopen("/proc/timer_list", "re");
	unsigned long long ns = 0;
	char line[256], *at;
	int found = 0;

	while (file && !found && fgets(line, sizeof line, file))
		found = (at = strstr(line, name)) && sscanf(at + sizeof name - 1, " : %llu", &ns) == 1;
	if (!found)
		die("/proc/timer_list");
	fclose(file);
	return ns;
}

static void load(size_t connected, size_t depth, size_t requests, size_t warm_up)
{
	unsigned long long idle, ticks;

	for (size_t i = 0; i < connected; i++) {
		connections[i].sent = 0;
		connect_to_server(&connections[i]);
	}
	send_requests(connected, (warm_up + connected - 1) / connected, depth);
	requests /= connected;
	idle = idle_ns();
	ticks = __builtin_ia32_rdtsc();
	send_requests(connected, requests, depth);
	ticks = __builtin_ia32_rdtsc() - ticks;
	idle = idle_ns() - idle;
	for (size_t i = 0; i < connected; i++)
		close(connections[i].fd);
	printf("client: load %zu %zu %zu %llu %llu\n", connected, depth, requests * connected, ticks, idle);
}

/* The least ticks of so many instructions, several times: no interrupt falls into all of them. */
static void measure_counter(void)
{
	unsigned long long least = -1;

	for (int i = 0; i < 10; i++) {
		unsigned long turns = 5000;
		unsigned long long ticks = __builtin_ia32_rdtsc();

		__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(turns) : : "cc");
		ticks = __builtin_ia32_rdtsc() - ticks;
		least = ticks < least ? ticks : least;
	}
	printf("client: ticks %llu of 10000 instructions\n", least);
}

/* The first answer, with everything that is sent for the first request. */
static void meet(const char *request, const char *end)
{
	static char answer[1 << 16];
	size_t length = 0, end_length = strlen(end);
	int fd;

	while ((fd = try_to_connect()) < 0) {
		if (waitpid(process, NULL, WNOHANG))
			die("the server ended at once");
		usleep(10000);
	}
	send_all(fd, request, strlen(request));
	while (length < end_length || memcmp(answer + length - end_length, end, end_length)) {
		ssize_t n = recv(fd, answer + length, sizeof answer - 1 - length, 0);

		if (n <= 0)
			wrong(answer, length, end, end_length);
		length += n;
	}
	close(fd);
	printf("client: first ");
	escape(answer, length);
	putchar('\n');
	for (size_t i = 0; i < count; i++) {
		const char *date = strstr(answer, "\r\nDate: ");

		if (exchanges[i].reply_length)
			continue;
		exchanges[i].reply = answer;
		exchanges[i].reply_length = length;
		exchanges[i].any = date ? date + 8 - answer : 0;
		exchanges[i].any_length = date ? strcspn(date + 8, "\r") : 0;
	}
}

/* The strings of the file `path`, and behind the last one nothing. */
static char **strings(const char *path)
{
	static char file[1 << 18], *list[2 * EXCHANGES + 3];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = read(fd, file, sizeof file - 1);
	char *at = file;

	if (size <= 0)
		die(path);
	close(fd);
	for (size_t i = 0; i < sizeof list / sizeof *list - 1 && at < file + size; i++) {
		list[i] = at;
		at += strlen(at) + 1;
	}
	return list;
}

static void start(char **words)
{
	process = fork();
	if (process < 0)
		die("fork");
	if (process > 0)
		return;
	execv(words[0], words + 1);
	die(words[0]);
}

static void stop(void)
{
	int status;

	kill(process, SIGTERM);
	if (waitpid(process, &status, 0) != process)
		die("wait");
	if (WIFSIGNALED(status))
		printf("client: end signal %d\n", WTERMSIG(status));
	else
		printf("client: end exited %d\n", WEXITSTATUS(status));
}

/* The next number of a list with commas, if there is one. */
static char *more(char *list)
{
	char *comma = strchr(list, ',');

	return comma ? comma + 1 : NULL;
}

int main(int argc, char **argv)
{
	static char said[1 << 16];
	char **words;

	if (argc < 10)
		return 2;
	/* The console would be busy while something else is measured. */
	setvbuf(stdout, said, _IOFBF, sizeof said);
	words = strings(argv[1]);
	for (char **at = words + 2; at[0] && at[1]; at += 2)
		exchanges[count++] = (struct exchange){ at[0], at[1], strlen(at[0]), strlen(at[1]), 0, 0 };
	server.sin_port = htons(atoi(argv[2]));
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	limit = strtoul(argv[5], NULL, 10);
	measure_counter();
	start(argv + 8);
	meet(words[0], words[1]);
	/* What a server does at its start comes to its end. */
	sleep(2);
	for (char *connected = argv[6]; connected; connected = more(connected))
		for (char *depths = argv[7]; depths; depths = more(depths))
			load(atoi(connected), atoi(depths), atoi(argv[3]), atoi(argv[4]));
	stop();
	return 0;
}
