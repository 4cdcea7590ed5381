/*
 * Endurance: mixed work for some seconds, many starts of one program, and the end of memory. Each
 * says at the end what is left of the memory that was available at first.
 */
#include "suite.h"
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>

static long available_kb(void)
{
	char line[128];
	long value = -1;
	FILE *file = fopen("/proc/meminfo", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %ld", &value) == 1)
			break;
	if (file)
		fclose(file);
	return value;
}

/*
 * Each processor keeps freed pages to itself, up to an eighth of all memory, and gives an eighth of
 * them back whenever its counters are collected. They do not count as available.
 */
static void collect(void)
{
	for (int i = 0; i < 40; i++) {
		char byte;
		int fd = open("/proc/sys/vm/stat_refresh", O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return;
		if (read(fd, &byte, 1) < 0 && errno != EINVAL)
			printf("load: stat_refresh: %s\n", errno_name(errno));
		close(fd);
	}
}

/* Waits until freed memory has been counted, then says how much is missing. */
static int memory_returned(long before, long allowance_kb)
{
	long now = 0;

	for (int i = 0; i < 50; i++) {
		collect();
		now = available_kb();
		if (now >= before - allowance_kb)
			break;
		sleep_ms(100);
	}
	printf("load: available %ld kB before, %ld kB after\n", before, now);
	return now >= before - allowance_kb ? 0 : 1;
}

static volatile int stop;
static volatile long work[8];

static void count(int number)
{
	(void)number;
	__atomic_add_fetch(&work[0], 1, __ATOMIC_RELAXED);
}

static void *make_children(void *unused)
{
	while (!stop) {
		pid_t pid = fork();

		if (pid == 0) {
			volatile char *space = pages(20);

			for (int i = 0; i < 20; i++)
				space[i * PAGE] = i;
			if (work[1] % 4 == 0)
				execl(self, self, "role", "exit", "0", (char *)NULL);
			_exit(0);
		}
		if (pid > 0)
			reap(pid);
		work[1]++;
	}
	return unused;
}

/*
 * Files that fill a quarter of what is available, again and again, so that every allocation competes
 * with cached pages. There is no disk in the guest: the pages are those of a file system in memory.
 */
static void *press_page_cache(void *unused)
{
	static char block[65536];
	unsigned round = 0;

	while (!stop) {
		long blocks = available_kb() / 4 / 64;
		char name[32];

		snprintf(name, sizeof(name), "/tmp/load-%u", round % 4);
		int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

		fill(block, sizeof(block), round);
		for (long i = 0; i < blocks && !stop; i++)
			if (write(fd, block, sizeof(block)) < 0)
				break;
		lseek(fd, 0, SEEK_SET);
		/* One page of each block: comparing all of it would leave no time for anything else. */
		while (read(fd, block, sizeof(block)) > 0)
			if (!filled(block, PAGE, round))
				__atomic_add_fetch(&work[7], 1, __ATOMIC_RELAXED);
		close(fd);
		/* The last three stay in memory while the next one is written. */
		snprintf(name, sizeof(name), "/tmp/load-%u", (round + 1) % 4);
		unlink(name);
		round++;
		work[2]++;
	}
	for (round = 0; round < 4; round++) {
		char name[32];

		snprintf(name, sizeof(name), "/tmp/load-%u", round);
		unlink(name);
	}
	return unused;
}

static void *talk(void *unused)
{
	int pair[2];
	char block[1000];
	unsigned round = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		return unused;
	while (!stop) {
		fill(block, sizeof(block), ++round);
		if (write(pair[0], block, sizeof(block)) != sizeof(block) || read(pair[1], block, sizeof(block)) != sizeof(block))
			continue;
		if (!filled(block, sizeof(block), round))
			__atomic_add_fetch(&work[7], 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&work[3], 1, __ATOMIC_RELAXED);
	}
	return unused;
}

static void *make_threads(void *unused)
{
	while (!stop) {
		pthread_t thread;
		char *memory = malloc(100000);

		memset(memory, 1, 100000);
		if (pthread_create(&thread, NULL, (void *(*)(void *))strdup, "x") == 0) {
			void *result;

			pthread_join(thread, &result);
			free(result);
		}
		free(memory);
		work[4]++;
	}
	return unused;
}

static int load_mixed(int seconds)
{
	void *(*const jobs[])(void *) = { make_children, press_page_cache, talk, make_threads, talk };
	pthread_t thread[COUNT(jobs)];
	long before;

	collect();
	before = available_kb();
	handle(SIGALRM, count, SA_RESTART);
	alarm_ms(2, 2);
	for (size_t i = 0; i < COUNT(jobs); i++)
		pthread_create(&thread[i], NULL, jobs[i], NULL);
	for (long start = now_ms(); now_ms() - start < seconds * 1000L;)
		sleep_ms(100);
	stop = 1;
	for (size_t i = 0; i < COUNT(jobs); i++)
		pthread_join(thread[i], NULL);
	alarm_ms(0, 0);
	printf("load: signals %ld, children %ld, files %ld, messages %ld, threads %ld, wrong %ld\n", work[0], work[1],
	       work[2], work[3], work[4], work[7]);
	if (work[7] || !work[0] || !work[1] || !work[2] || !work[3] || !work[4])
		return 1;
	return memory_returned(before, 8192);
}

/* Starts @path @times times; to be run in ring 3 with the trigger as the program, and the other way. */
static int load_starts(const char *path, int times)
{
	volatile long before = 0, failed = 0;

	for (volatile int i = -50; i < times; i++) {
		if (i == 0) {
			collect();
			before = available_kb();
		}
		pid_t pid = vfork();

		if (pid == 0) {
			execl(path, path, "role", "exit", "7", (char *)NULL);
			_exit(97);
		}
		int status = reap(pid);

		failed += !WIFEXITED(status) || WEXITSTATUS(status) != 7;
	}
	printf("load: %d starts of %s, failed %ld\n", times, path, failed);
	return failed || memory_returned(before, 4096);
}

/* A child eats all memory; it must be the one to go. */
static int load_memory(void)
{
	long before;
	int status;
	pid_t pid;

	collect();
	before = available_kb();
	pid = fork();
	if (pid == 0) {
		int fd = open("/proc/self/oom_score_adj", O_WRONLY);

		if (fd < 0 || write(fd, "1000", 4) != 4)
			_exit(2);
		for (;;) {
			char *block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			if (block == MAP_FAILED)
				_exit(3);
			memset(block, 1, 1 << 20);
		}
	}
	status = reap(pid);
	printf("load: the eater ended with %s\n", fate(status));
	return !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL || memory_returned(before, 8192);
}

int load(int argc, char **argv)
{
	int result = 2;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && strcmp(argv[0], "mixed") == 0)
		result = load_mixed(atoi(argv[1]));
	else if (argc == 3 && strcmp(argv[0], "starts") == 0)
		result = load_starts(argv[1], atoi(argv[2]));
	else if (argc == 1 && strcmp(argv[0], "memory") == 0)
		result = load_memory();
	else
		printf("load: mixed SECONDS | starts PATH TIMES | memory\n");
	printf("load: %s\n", result == 0 ? "passed" : "failed");
	return result;
}
