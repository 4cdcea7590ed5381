/* System calls that a signal interrupts: EINTR, restarted, or continued by a restart block. */
#include "suite.h"
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/un.h>

static int fd[2], listener;
static volatile sig_atomic_t signals;
/* What ends a restarted call, done by the handler's second run. */
static void (*ending)(void);

static void on_alarm(int number)
{
	(void)number;
	if (++signals == 2 && ending)
		ending();
}

static void write_byte(void)
{
	write(fd[1], "x", 1);
}

static uint32_t word;
static void wake_word(void)
{
	word = 1;
	syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int other_pid;
static void kill_other(void)
{
	kill(other_pid, SIGKILL);
}

static void connect_to_listener(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "listener" };

	connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, sizeof(name));
}

static int message_queue, semaphores;
static void send_message(void)
{
	struct { long type; char text[1]; } message = { 1, "x" };

	msgsnd(message_queue, &message, 1, 0);
}

static void raise_semaphore(void)
{
	semop(semaphores, &(struct sembuf){ 0, 1, 0 }, 1);
}

static void unlock_file(void)
{
	kill_other();
}

static long c_read(void) { char c; return read(fd[0], &c, 1); }
static long c_recv(void) { char c; return recv(fd[0], &c, 1, 0); }
static long c_accept(void) { return accept(listener, NULL, NULL) < 0 ? -1 : 0; }
static long c_wait(void) { return waitpid(other_pid, NULL, 0) < 0 ? -1 : 0; }
static long c_futex(void) { return syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0); }
static long c_poll(void) { return poll(&(struct pollfd){ fd[0], POLLIN, 0 }, 1, -1); }
static long c_select(void)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd[0], &set);
	return select(fd[0] + 1, &set, NULL, NULL, NULL);
}
static long c_epoll(void)
{
	int epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd[0], &event);
	return epoll_wait(epoll, &event, 1, -1);
}
static long c_nanosleep(void) { return nanosleep(&(struct timespec){ 0, 150000000 }, NULL); }
static long c_msgrcv(void)
{
	struct { long type; char text[1]; } message;

	return msgrcv(message_queue, &message, 1, 0, 0);
}
static long c_semop(void) { return semop(semaphores, &(struct sembuf){ 0, -1, 0 }, 1); }
static long c_flock(void) { return flock(open("locked", O_RDONLY), LOCK_EX); }
static long c_pause(void) { return pause(); }
static long c_sigsuspend(void) { sigset_t none; sigemptyset(&none); return sigsuspend(&none); }
static long c_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	/* The library would repeat it. */
	return syscall(SYS_rt_sigtimedwait, &set, NULL, &(struct timespec){ 5, 0 }, 8L);
}

static const struct {
	const char *name;
	long (*call)(void);
	void (*ending)(void);
} calls[] = {
	{ "read", c_read, write_byte }, { "recv", c_recv, write_byte }, { "accept", c_accept, connect_to_listener },
	{ "waitpid", c_wait, kill_other }, { "futex", c_futex, wake_word }, { "poll", c_poll, write_byte },
	{ "select", c_select, write_byte }, { "epoll_wait", c_epoll, write_byte }, { "nanosleep", c_nanosleep, NULL },
	{ "msgrcv", c_msgrcv, send_message }, { "semop", c_semop, raise_semaphore }, { "flock", c_flock, unlock_file },
	{ "pause", c_pause, NULL }, { "sigsuspend", c_sigsuspend, NULL }, { "sigtimedwait", c_sigtimedwait, NULL },
};

static void prepare(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "listener" };

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	unlink("listener");
	EXPECT(bind(listener, (void *)&name, sizeof(name)) == 0 && listen(listener, 4) == 0);
	message_queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
	semaphores = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
	semctl(semaphores, 0, SETVAL, 0);
	close(scratch("locked", "", 0));
	other_pid = split();
	if (other_pid == 0) {
		flock(open("locked", O_RDONLY), LOCK_EX);
		pause();
		_exit(0);
	}
	sleep_ms(5);
}

/* Each call in a process of its own, with signals at 20 ms and 40 ms. */
static void each_call(int flags)
{
	for (size_t i = 0; i < COUNT(calls); i++) {
		pid_t pid = split();

		if (pid == 0) {
			long result;

			prepare();
			ending = calls[i].ending;
			handle(SIGALRM, on_alarm, flags);
			alarm_ms(20, 20);
			result = calls[i].call();
			alarm_ms(0, 0);
			say("%s: %s", calls[i].name, answer(result));
			say("handler %s", signals == 1 ? "once" : "more than once");
			kill(other_pid, SIGKILL);
			msgctl(message_queue, IPC_RMID, NULL);
			semctl(semaphores, 0, IPC_RMID);
			finish();
		}
		EXPECT(reap(pid) == 0);
	}
}

CASE(restart_eintr)
{
	each_call(0);
}

CASE(restart_again)
{
	each_call(SA_RESTART);
}

/* SIGSTOP and SIGCONT without a handler: the call goes on with what is left. */
static int stopped_and_continued(long (*call)(void))
{
	pid_t pid = split();
	int status;

	if (pid == 0) {
		long start = now_ms(), result = call();

		say("%s", answer(result));
		say("slept enough %d", now_ms() - start >= 299);
		say("not twice %d", now_ms() - start < 5000);
		finish();
	}
	/* On a busy machine there is time for one stop only. */
	for (long i = 0, start = now_ms(); i < 3 && (i == 0 || now_ms() - start < 500); i++) {
		sleep_ms(40);
		kill(pid, SIGSTOP);
		if (waitpid(pid, &status, WUNTRACED) == pid && !WIFSTOPPED(status))
			return status;
		sleep_ms(10);
		kill(pid, SIGCONT);
	}
	return reap(pid);
}

static long b_nanosleep(void) { return nanosleep(&(struct timespec){ 0, 900000000 }, NULL); }
static long b_clock(void) { return clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ 0, 900000000 }, NULL); }
static long b_absolute(void)
{
	struct timespec when;

	clock_gettime(CLOCK_MONOTONIC, &when);
	when.tv_nsec += 900000000;
	when.tv_sec += when.tv_nsec / 1000000000;
	when.tv_nsec %= 1000000000;
	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
}
static long b_poll(void) { return poll(NULL, 0, 900); }
static long b_ppoll(void) { return ppoll(NULL, 0, &(struct timespec){ 0, 900000000 }, NULL); }
static long b_select(void) { return select(0, NULL, NULL, NULL, &(struct timeval){ 0, 900000 }); }
static long b_futex(void)
{
	return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &(struct timespec){ 0, 900000000 }, NULL, 0);
}

CASE(restart_blocks)
{
	static const struct {
		const char *name;
		long (*call)(void);
	} list[] = {
		{ "nanosleep", b_nanosleep }, { "clock_nanosleep", b_clock }, { "absolute", b_absolute },
		{ "poll", b_poll }, { "ppoll", b_ppoll }, { "select", b_select }, { "futex", b_futex },
	};

	for (size_t i = 0; i < COUNT(list); i++) {
		say("%s", list[i].name);
		EXPECT(stopped_and_continued(list[i].call) == 0);
	}
}

/* The program may call restart_syscall itself: without a block it is interrupted. */
CASE(restart_by_hand)
{
	say("%s", answer(syscall(SYS_restart_syscall)));
}

CASE(restart_remaining_time)
{
	struct timespec left = { 0, 0 };

	handle(SIGALRM, on_alarm, SA_RESTART);
	alarm_ms(20, 0);
	say("%s", answer(nanosleep(&(struct timespec){ 10, 0 }, &left)));
	say("left %d", left.tv_sec == 9);
}

/* The raw instruction, whose restart is another path than the site's jump. */
CASE(restart_raw_instruction)
{
	char c = 0;
	long result;

	EXPECT(pipe(fd) == 0);
	ending = write_byte;
	handle(SIGALRM, on_alarm, SA_RESTART);
	alarm_ms(20, 20);
	__asm__ volatile(".byte 0x0f, 0x05" : "=a"(result) : "a"(SYS_read), "D"((long)fd[0]), "S"(&c), "d"(1L)
			 : "rcx", "r11", "memory");
	alarm_ms(0, 0);
	say("read %ld %c", result, c);
	__asm__ volatile(".byte 0x0f, 0x05" : "=a"(result) : "a"(SYS_read), "D"((long)fd[0]), "S"(16L), "d"(0L)
			 : "rcx", "r11", "memory");
	say("nothing %ld", result);
}

FAMILY(restart, T(restart_eintr), T(restart_again), T(restart_blocks), T(restart_by_hand),
       T(restart_remaining_time), T(restart_raw_instruction));
