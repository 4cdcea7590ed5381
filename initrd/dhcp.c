/* A DHCP client (RFC 2131): one lease, and more time for it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define SERVER_PORT 67
#define CLIENT_PORT 68
#define COOKIE 0x63825363
#define BROADCAST 0x8000
/* Every server waits a moment for others to answer first; then twice as long each time. */
#define FIRST_WAIT_MS 500
#define TRIES 5

enum { DISCOVER = 1, OFFER, REQUEST, ACK = 5, NAK };
enum { MASK = 1, ROUTER = 3, DNS = 6, ADDRESS = 50, SECONDS, TYPE = 53, SERVER, WANTED, END = 255 };

struct message {
	uint8_t op, hardware, hardware_length, hops;
	uint32_t id;
	uint16_t seconds, flags;
	struct in_addr client, yours, next, relay;
	uint8_t hardware_address[16], server_name[64], file[128];
	uint32_t cookie;
	uint8_t options[312];
};

/* A socket that talks through the interface, whether or not that has an address yet. */
static int open_socket(const char *interface, uint8_t *hardware_address)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(CLIENT_PORT) };
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, interface);
	if (fd >= 0 && !ioctl(fd, SIOCGIFHWADDR, &ifr) &&
	    !setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) &&
	    !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) &&
	    !setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, strlen(interface) + 1) &&
	    !bind(fd, (struct sockaddr *)&here, sizeof here)) {
		memcpy(hardware_address, ifr.ifr_hwaddr.sa_data, 6);
		return fd;
	}
	complain("cannot ask for an address on", interface);
	if (fd >= 0)
		close(fd);
	return -1;
}

static uint8_t *put(uint8_t *at, uint8_t option, const void *value, uint8_t length)
{
	*at++ = option;
	*at++ = length;
	memcpy(at, value, length);
	return at + length;
}

static void ask(int fd, struct message *m, uint8_t type, const struct lease *lease, int renews)
{
	static const uint8_t wanted[] = { MASK, ROUTER, DNS, SECONDS };
	struct sockaddr_in all = { .sin_family = AF_INET, .sin_port = htons(SERVER_PORT) };
	uint8_t *at = put(m->options, TYPE, &type, 1);

	all.sin_addr.s_addr = INADDR_BROADCAST;
	m->client.s_addr = renews ? lease->address.s_addr : 0;
	if (type == REQUEST && !renews) {
		at = put(at, ADDRESS, &lease->address, 4);
		at = put(at, SERVER, &lease->server, 4);
	}
	at = put(at, WANTED, wanted, sizeof wanted);
	*at = END;
	sendto(fd, m, sizeof *m, 0, (struct sockaddr *)&all, sizeof all);
}

/* The type of a message for us, and what it says; 0 when it is none. */
static int read_answer(const struct message *m, ssize_t size, const struct message *asked, struct lease *lease)
{
	const uint8_t *at = m->options, *end = (const uint8_t *)m + size;
	struct in_addr seconds = { 0 };
	int type = 0;

	if (at >= end || m->op != 2 || m->id != asked->id || m->cookie != htonl(COOKIE) ||
	    memcmp(m->hardware_address, asked->hardware_address, 6))
		return 0;
	memset(lease, 0, sizeof *lease);
	lease->address = m->yours;
	while (at < end && *at != END) {
		if (!*at && at++)
			continue;
		if (end - at < 2 || end - at - 2 < at[1])
			return 0;
		struct in_addr *to = *at == MASK ? &lease->mask : *at == ROUTER ? &lease->gateway :
				     *at == DNS ? &lease->dns : *at == SERVER ? &lease->server :
				     *at == SECONDS ? &seconds : NULL;
		if (to && at[1] >= 4)
			memcpy(to, at + 2, 4);
		if (*at == TYPE && at[1] == 1)
			type = at[2];
		at += 2 + at[1];
	}
	lease->seconds = ntohl(seconds.s_addr);
	return type;
}

/* Asks until the answer is of the type `wants`, or until patience ends. */
static int converse(int fd, struct message *m, uint8_t type, int wants, struct lease *lease, int renews)
{
	struct lease answer;
	struct message got;

	for (int try = 0; try < TRIES; try++) {
		struct pollfd readable = { fd, POLLIN, 0 };

		ask(fd, m, type, lease, renews);
		while (poll(&readable, 1, FIRST_WAIT_MS << try) > 0) {
			int is = read_answer(&got, recv(fd, &got, sizeof got, 0), m, &answer);
			if (is == NAK)
				return 0;
			if (is == wants) {
				*lease = answer;
				return 1;
			}
		}
	}
	return 0;
}

int dhcp(const char *interface, struct lease *lease)
{
	struct message m = { .op = 1, .hardware = 1, .hardware_length = 6, .flags = htons(BROADCAST) };
	int fd = open_socket(interface, m.hardware_address), renews = lease->address.s_addr != 0;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	memcpy(&m.id, m.hardware_address + 2, 4);
	m.id ^= now.tv_nsec;
	m.cookie = htonl(COOKIE);
	int done = fd >= 0 && (renews || converse(fd, &m, DISCOVER, OFFER, lease, 0)) &&
		   converse(fd, &m, REQUEST, ACK, lease, renews);
	if (fd >= 0)
		close(fd);
	return done;
}
