/* Waiting for several things: poll, select, epoll and the descriptors made for them. */
#include "suite.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

CASE(event_poll)
{
	int one[2], two[2];
	struct pollfd list[4];

	EXPECT(pipe(one) == 0 && pipe(two) == 0 && write(one[1], "x", 1) == 1);
	close(two[0]);
	list[0] = (struct pollfd){ .fd = one[0], .events = POLLIN | POLLOUT };
	list[1] = (struct pollfd){ .fd = two[1], .events = POLLOUT };
	list[2] = (struct pollfd){ .fd = -1, .events = POLLIN };
	list[3] = (struct pollfd){ .fd = 4000, .events = POLLIN };
	say("poll %s", answer(poll(list, 4, -1)));
	for (int i = 0; i < 4; i++)
		say("%d: %x", i, list[i].revents);
	say("nothing %s", answer(poll(list, 0, 5)));
}

static void nothing(int number)
{
	(void)number;
}

CASE(event_ppoll_mask)
{
	sigset_t block, none;
	struct timespec second = { 1, 0 };

	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	handle(SIGUSR1, nothing, 0);
	EXPECT(sigprocmask(SIG_BLOCK, &block, NULL) == 0);
	raise(SIGUSR1);
	say("ppoll %s", answer(ppoll(NULL, 0, &second, &none)));
	raise(SIGUSR1);
	say("pselect %s", answer(pselect(0, NULL, NULL, NULL, &second, &none)));
	raise(SIGUSR1);
	say("epoll_pwait %s", answer(epoll_pwait(epoll_create1(0), (struct epoll_event[1]){ 0 }, 1, 1000, &none)));
	EXPECT(sigprocmask(SIG_BLOCK, NULL, &none) == 0);
	say("blocked again %d", sigismember(&none, SIGUSR1));
}

CASE(event_select)
{
	struct timeval limit = { 0, 20000 };
	int fd[2];
	fd_set in, out;

	EXPECT(pipe(fd) == 0);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(fd[0], &in);
	say("empty %s", answer(select(fd[0] + 1, &in, NULL, NULL, &limit)));
	say("left %ld", (long)limit.tv_usec);
	FD_SET(fd[0], &in);
	FD_SET(fd[1], &out);
	EXPECT(write(fd[1], "x", 1) == 1);
	say("both %s", answer(select(fd[1] + 1, &in, &out, NULL, NULL)));
	say("in %d out %d", !!FD_ISSET(fd[0], &in), !!FD_ISSET(fd[1], &out));
	FD_SET(900, &in);
	say("bad %s", answer(select(901, &in, NULL, NULL, NULL)));
}

CASE(event_epoll_modes)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = 0x123456789abcdef0 }, got;
	int epoll = epoll_create1(EPOLL_CLOEXEC), fd[2];

	EXPECT(pipe2(fd, O_NONBLOCK) == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd[0], &event) == 0);
	say("added twice %s", answer(epoll_ctl(epoll, EPOLL_CTL_ADD, fd[0], &event)));
	EXPECT(write(fd[1], "x", 1) == 1);
	say("edge %d", epoll_wait(epoll, &got, 1, 100));
	say("then %d", epoll_wait(epoll, &got, 1, 0));
	say("data %llx", (unsigned long long)got.data.u64);
	event.events = EPOLLIN;
	EXPECT(epoll_ctl(epoll, EPOLL_CTL_MOD, fd[0], &event) == 0);
	say("level %d", epoll_wait(epoll, &got, 1, 0));
	say("then %d", epoll_wait(epoll, &got, 1, 0));
	event.events = EPOLLIN | EPOLLONESHOT;
	EXPECT(epoll_ctl(epoll, EPOLL_CTL_MOD, fd[0], &event) == 0);
	say("oneshot %d", epoll_wait(epoll, &got, 1, 0));
	say("then %d", epoll_wait(epoll, &got, 1, 0));
	close(fd[1]);
	event.events = EPOLLIN | EPOLLRDHUP;
	EXPECT(epoll_ctl(epoll, EPOLL_CTL_MOD, fd[0], &event) == 0);
	say("closed %d", epoll_wait(epoll, &got, 1, 0));
	say("events %x", got.events);
	say("removed %s", answer(epoll_ctl(epoll, EPOLL_CTL_DEL, fd[0], NULL)));
	say("again %s", answer(epoll_ctl(epoll, EPOLL_CTL_DEL, fd[0], NULL)));
	say("a file %s", answer(epoll_ctl(epoll, EPOLL_CTL_ADD, scratch("f", "", 0), &event)));
	say("itself %s", answer(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event)));
	say("no room %s", answer(epoll_wait(epoll, &got, 0, 0)));
}

CASE(event_epoll_nested)
{
	struct epoll_event event = { .events = EPOLLIN }, got[8];
	int outer = epoll_create1(0), inner = epoll_create1(0), counter = eventfd(0, 0);

	EXPECT(epoll_ctl(inner, EPOLL_CTL_ADD, counter, &event) == 0);
	EXPECT(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event) == 0);
	say("idle %d", epoll_wait(outer, got, 8, 0));
	EXPECT(eventfd_write(counter, 1) == 0);
	say("busy %d", epoll_wait(outer, got, 8, 1000));
	say("cycle %s", answer(epoll_ctl(inner, EPOLL_CTL_ADD, outer, &event)));
}

CASE(event_epoll_many)
{
	static struct epoll_event got[64];
	static int pairs[50][2];
	struct epoll_event event;
	int epoll = epoll_create1(0), sum = 0, count;
	char c;

	for (int i = 0; i < 50; i++) {
		EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]) == 0);
		event = (struct epoll_event){ .events = EPOLLIN, .data.ptr = &pairs[i] };
		EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, pairs[i][0], &event) == 0);
	}
	for (int i = 0; i < 50; i += 3)
		EXPECT(write(pairs[i][1], "x", 1) == 1);
	count = epoll_wait(epoll, got, 64, 1000);
	for (int i = 0; i < count; i++) {
		int *pair = got[i].data.ptr;

		EXPECT(read(pair[0], &c, 1) == 1);
		sum += (pair - pairs[0]) / 2;
	}
	say("ready %d", count);
	say("sum %d", sum);
	say("then %d", epoll_wait(epoll, got, 64, 0));
}

CASE(event_eventfd)
{
	eventfd_t value = 0;
	int fd = eventfd(5, EFD_NONBLOCK), semaphore = eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE);

	EXPECT(eventfd_write(fd, 7) == 0 && eventfd_read(fd, &value) == 0);
	say("value %d", (int)value);
	say("empty %s", answer(eventfd_read(fd, &value)));
	EXPECT(eventfd_read(semaphore, &value) == 0 && eventfd_read(semaphore, &value) == 0);
	say("semaphore %d", (int)value);
	say("empty %s", answer(eventfd_read(semaphore, &value)));
	say("too large %s", answer(eventfd_write(fd, -1ULL)));
	say("short %s", answer(read(fd, &value, 4)));
}

CASE(event_timerfd)
{
	struct itimerspec when = { { 0, 10000000 }, { 0, 10000000 } }, left;
	uint64_t ticks = 0;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);

	say("unset %s", answer(read(fd, &ticks, 8)));
	EXPECT(timerfd_settime(fd, 0, &when, NULL) == 0);
	sleep_ms(60);
	EXPECT(read(fd, &ticks, 8) == 8 && ticks >= 5);
	EXPECT(timerfd_gettime(fd, &left) == 0);
	say("period %ld", left.it_interval.tv_nsec);
	clock_gettime(CLOCK_MONOTONIC, &when.it_value);
	when.it_interval.tv_nsec = 0;
	EXPECT(timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL) == 0);
	fcntl(fd, F_SETFL, 0);
	EXPECT(read(fd, &ticks, 8) == 8);
	say("absolute %d", (int)ticks);
	say("bad clock %s", answer(timerfd_create(77, 0)));
}

CASE(event_signalfd)
{
	struct signalfd_siginfo info;
	union sigval value = { .sival_int = 4711 };
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	EXPECT(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	fd = signalfd(-1, &set, SFD_NONBLOCK);
	say("none %s", answer(read(fd, &info, sizeof(info))));
	raise(SIGUSR1);
	EXPECT(sigqueue(getpid(), SIGRTMIN, value) == 0);
	EXPECT(read(fd, &info, sizeof(info)) == sizeof(info));
	say("signal %d, code %d, mine %d", info.ssi_signo, info.ssi_code, info.ssi_pid == (unsigned)getpid());
	EXPECT(read(fd, &info, sizeof(info)) == sizeof(info));
	say("signal %d, value %d", info.ssi_signo, info.ssi_int);
	say("none %s", answer(read(fd, &info, sizeof(info))));
}

CASE(event_wakeup_by_child)
{
	struct epoll_event event = { .events = EPOLLIN }, got;
	int epoll = epoll_create1(0), counter = eventfd(0, 0);
	long start = now_ms();
	pid_t pid;

	EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, counter, &event) == 0);
	pid = split();
	if (pid == 0) {
		sleep_ms(50);
		eventfd_write(counter, 1);
		finish();
	}
	say("woken %d", epoll_wait(epoll, &got, 1, 5000));
	say("waited %d", now_ms() - start >= 40);
	say("child %s", fate(reap(pid)));
	start = now_ms();
	say("time limit %d", poll(NULL, 0, 30));
	say("kept %d", now_ms() - start >= 29);
}

FAMILY(event, T(event_poll), T(event_ppoll_mask), T(event_select), T(event_epoll_modes), T(event_epoll_nested),
       T(event_epoll_many), T(event_eventfd), T(event_timerfd), T(event_signalfd), T(event_wakeup_by_child));

static void watch_events(int fd)
{
	static char buffer[4096] __attribute__((aligned(8)));
	ssize_t size = read(fd, buffer, sizeof(buffer));

	for (ssize_t at = 0; at < size;) {
		struct inotify_event *event = (void *)(buffer + at);

		say("mask %x name %s", event->mask, event->len ? event->name : "");
		at += sizeof(*event) + event->len;
	}
	if (size < 0)
		say("%s", errno_name(errno));
}

CASE(inotify_folder)
{
	int fd = inotify_init1(IN_NONBLOCK), watch = inotify_add_watch(fd, ".", IN_ALL_EVENTS);

	EXPECT(watch >= 0);
	watch_events(fd);
	close(scratch("one", "text", 4));
	EXPECT(rename("one", "two") == 0 && chmod("two", 0600) == 0 && unlink("two") == 0 && mkdir("d", 0755) == 0);
	watch_events(fd);
	EXPECT(inotify_rm_watch(fd, watch) == 0);
	watch_events(fd);
	say("bad path %s", answer(inotify_add_watch(fd, "absent", IN_CREATE)));
}

FAMILY(inotify, T(inotify_folder));
