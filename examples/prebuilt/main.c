/*
 * A digest by OpenSSL, a table by SQLite, a packed text by zlib and a timer by libevent: none of them was compiled for this.
 * Each library chooses code for the processor when it starts, and reaches its data through tables of addresses.
 */
#include <event2/event.h>
#include <openssl/evp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

static const char text[] = "the program is the kernel, the kernel is the program";

static void digest(void)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned length = 0;

	EVP_Digest(text, strlen(text), sum, &length, EVP_sha256(), NULL);
	printf("crypto: %u bytes, ", length);
	for (unsigned i = 0; i < 4; i++)
		printf("%02x", sum[i]);
	printf("\n");
}

static void pack(void)
{
	unsigned char packed[256], again[256];
	uLongf length = sizeof(packed), back = sizeof(again);
	int shorter, same;

	compress(packed, &length, (const unsigned char *)text, sizeof(text));
	shorter = length < sizeof(text);
	same = uncompress(again, &back, packed, length) == Z_OK && back == sizeof(text) && !memcmp(again, text, back);
	printf("z: shorter %d, same %d\n", shorter, same);
}

static int row(void *unused, int columns, char **values, char **names)
{
	(void)unused;
	for (int i = 0; i < columns; i++)
		printf("sqlite3: %s %s\n", names[i], values[i]);
	return 0;
}

static void table(void)
{
	sqlite3 *database;
	char *error = NULL;

	remove("/tmp/table");
	sqlite3_open("/tmp/table", &database);
	sqlite3_exec(database,
		     "create table t(a); insert into t values (1), (2.5), (4);"
		     "select sum(a) as sum, round(sqrt(max(a)), 3) as root from t; select a from u",
		     row, NULL, &error);
	printf("sqlite3: %s\n", error);
	sqlite3_free(error);
	sqlite3_close(database);
}

static void tick(evutil_socket_t socket, short what, void *count)
{
	(void)socket;
	printf("event: %s %d\n", what & EV_TIMEOUT ? "timer" : "?", ++*(int *)count);
}

static void wait_for_timers(void)
{
	struct event_base *base = event_base_new();
	struct timeval soon = { 0, 1000 };
	int count = 0;

	event_base_once(base, -1, EV_TIMEOUT, tick, &count, &soon);
	event_base_once(base, -1, EV_TIMEOUT, tick, &count, &soon);
	printf("event: %s, left with %d\n", event_base_get_method(base), event_base_dispatch(base));
	event_base_free(base);
}

int main(void)
{
	digest();
	pack();
	table();
	wait_for_timers();
	return 0;
}
