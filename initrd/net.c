/* The guest's network: addresses that the host names, that a server gives, or those of QEMU's user-mode network. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init.h"

#define CARD "eth0"

static struct in_addr parse(const char *text)
{
	struct in_addr address = { 0 };

	if (text && inet_pton(AF_INET, text, &address) != 1)
		complain("no address:", text);
	return address;
}

static void put(struct sockaddr *to, struct in_addr address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = address };

	memcpy(to, &in, sizeof in);
}

/* Switches an interface on; false when there is no such interface. */
static int up(int fd, const char *name)
{
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, name);
	if (ioctl(fd, SIOCGIFFLAGS, &ifr))
		return 0;
	ifr.ifr_flags |= IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr))
		complain("cannot bring up", name);
	return 1;
}

static void set_address(int fd, const char *name, struct in_addr address, struct in_addr mask)
{
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, name);
	put(&ifr.ifr_addr, address);
	int failed = ioctl(fd, SIOCSIFADDR, &ifr);
	put(&ifr.ifr_netmask, mask);
	if (failed || ioctl(fd, SIOCSIFNETMASK, &ifr))
		complain("cannot set the address of", name);
}

static void set_gateway(int fd, struct in_addr gateway)
{
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	struct in_addr any = { 0 };

	put(&route.rt_dst, any);
	put(&route.rt_genmask, any);
	put(&route.rt_gateway, gateway);
	if (gateway.s_addr && ioctl(fd, SIOCADDRT, &route))
		complain("cannot set the route through", CARD);
}

static void set_dns(struct in_addr dns)
{
	FILE *file = dns.s_addr ? fopen("/etc/resolv.conf", "we") : NULL;

	if (!file)
		return;
	fprintf(file, "nameserver %s\n", inet_ntoa(dns));
	fclose(file);
}

/* Asks for more time whenever half of it has passed, beside the program. */
static void keep(struct lease lease)
{
	if (!lease.seconds || lease.seconds == ~0u || fork() != 0)
		return;
	for (;;) {
		struct lease next = lease;

		sleep(lease.seconds / 2 + 1);
		if (dhcp(CARD, &next)) {
			lease.seconds = next.seconds ? next.seconds : lease.seconds;
		} else {
			/* A server that is away for a while does not take the address from us. */
			errno = ETIMEDOUT;
			complain("no more time for the address of", CARD);
		}
	}
}

/* `ADDRESS/BITS`, as the host checked it. */
static struct lease fixed(const char *text)
{
	char address[INET_ADDRSTRLEN] = "";
	int bits = 24;

	sscanf(text, "%15[0-9.]/%d", address, &bits);
	return (struct lease){
		.address = parse(address),
		.mask = { htonl(bits > 0 ? ~0u << (32 - bits) : 0) },
		.gateway = parse(word("gw")),
		.dns = parse(word("dns")),
	};
}

void network(void)
{
	const char *ip = word("ip");
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct lease lease = { 0 };

	if (fd < 0)
		return;
	/* Its address comes with it. */
	up(fd, "lo");
	if (!up(fd, CARD)) {
		close(fd);
		return;
	}
	if (ip && !strcmp(ip, "dhcp")) {
		if (dhcp(CARD, &lease)) {
			report("address %s\n", inet_ntoa(lease.address));
			keep(lease);
		} else {
			errno = ETIMEDOUT;
			complain("no DHCP server gives an address to", CARD);
		}
	} else if (ip) {
		lease = fixed(ip);
	} else {
		lease.address = parse("10.0.2.15");
		lease.mask = parse("255.255.255.0");
		lease.gateway = parse("10.0.2.2");
	}
	if (lease.address.s_addr) {
		set_address(fd, CARD, lease.address, lease.mask);
		set_gateway(fd, lease.gateway);
		set_dns(lease.dns);
	}
	close(fd);
}

/* Whether a table of /proc/net has a closed connection whose other end has not confirmed everything. */
static int sends(const char *table)
{
	FILE *file = fopen(table, "re");
	char line[256];
	unsigned state;
	int found = 0;

	while (file && !found && fgets(line, sizeof line, file))
		found = sscanf(line, " %*u: %*[0-9A-F]:%*x %*[0-9A-F]:%*x %x", &state) == 1 &&
			(state == 4 || state == 9 || state == 11); /* FIN_WAIT1, LAST_ACK, CLOSING */
	if (file)
		fclose(file);
	return found;
}

void finish_sending(void)
{
	/* Elsewhere a program's last words are sent after its end; here the machine ends, too. */
	for (int patience = 300; patience > 0 && (sends("/proc/net/tcp") || sends("/proc/net/tcp6")); patience--)
		usleep(10000);
}
