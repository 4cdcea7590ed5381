/* Threads: many, short-lived, cancelled, with memory of their own. */
#include "suite.h"
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <ucontext.h>

static __thread int own = 7;
static __thread char own_space[300];
static __thread int aligned_own __attribute__((aligned(64))) = 9;

static void *use_own(void *argument)
{
	own += (long)argument;
	memset(own_space, own, sizeof(own_space));
	sched_yield();
	for (size_t i = 0; i < sizeof(own_space); i++)
		if (own_space[i] != (char)own || aligned_own != 9 || (uintptr_t)&aligned_own % 64)
			return (void *)-1L;
	return (void *)(long)own;
}

CASE(thread_local_memory)
{
	pthread_t thread[8];
	long sum = 0;
	void *result;

	for (long i = 0; i < 8; i++)
		pthread_create(&thread[i], NULL, use_own, (void *)i);
	for (int i = 0; i < 8; i++) {
		pthread_join(thread[i], &result);
		sum += (long)result;
	}
	say("sum %ld, own %d", sum, own);
}

static void *nothing(void *argument)
{
	return argument;
}

CASE(thread_many)
{
	static pthread_t thread[200];
	pthread_attr_t small;
	long sum = 0, started = 0;
	void *result;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN + 16384);
	for (long i = 0; i < 200; i++)
		started += pthread_create(&thread[i], &small, nothing, (void *)i) == 0;
	for (int i = 0; i < 200; i++) {
		pthread_join(thread[i], &result);
		sum += (long)result;
	}
	say("started %ld, sum %ld", started, sum);
}

static volatile int alive;
static void *detached(void *argument)
{
	__atomic_add_fetch(&alive, 1, __ATOMIC_SEQ_CST);
	return argument;
}

/* A detached thread unmaps its own stack and leaves without one. */
CASE(thread_detached)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	for (int i = 0; i < 300; i++)
		while (pthread_create(&thread, &attributes, detached, NULL) != 0)
			sleep_ms(1);
	while (alive < 300)
		sleep_ms(1);
	sleep_ms(20);
	say("alive %d", alive);
}

static int cleaned;
static void clean(void *argument)
{
	cleaned += (long)argument;
}

static int fd[2];
static void *block(void *argument)
{
	char c;

	pthread_cleanup_push(clean, (void *)1);
	pthread_cleanup_push(clean, (void *)10);
	if (argument)
		sleep_ms(100000);
	else
		read(fd[0], &c, 1);
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *spin(void *ready)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &(int){ 0 });
	*(volatile int *)ready = 1;
	for (;;)
		;
	return NULL;
}

static volatile int disabled_done;
static void *refuse(void *ready)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &(int){ 0 });
	*(volatile int *)ready = 1;
	sleep_ms(50);
	disabled_done = 1;
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &(int){ 0 });
	pthread_testcancel();
	return NULL;
}

CASE(thread_cancel)
{
	volatile int ready = 0;
	pthread_t thread;
	void *result;

	EXPECT(pipe(fd) == 0);
	for (long how = 0; how < 2; how++) {
		pthread_create(&thread, NULL, block, (void *)how);
		sleep_ms(20);
		pthread_cancel(thread);
		pthread_join(thread, &result);
		say("blocked: cancelled %d, cleaned %d", result == PTHREAD_CANCELED, cleaned);
	}
	pthread_create(&thread, NULL, spin, (void *)&ready);
	while (!ready)
		sleep_ms(1);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	say("spinning: cancelled %d", result == PTHREAD_CANCELED);
	ready = 0;
	pthread_create(&thread, NULL, refuse, (void *)&ready);
	while (!ready)
		sleep_ms(1);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	say("disabled: done %d, then cancelled %d", disabled_done, result == PTHREAD_CANCELED);
}

/* Cancelled at many moments of a call: the data is never lost without the thread being cancelled. */
static volatile long received;
static void *receive(void *unused)
{
	char c;

	for (;;)
		if (read(fd[0], &c, 1) == 1)
			received++;
	return unused;
}

CASE(thread_cancel_race)
{
	pthread_t thread;
	void *result;
	int cancelled = 0;

	EXPECT(pipe(fd) == 0);
	for (int i = 0; i < 100; i++) {
		pthread_create(&thread, NULL, receive, NULL);
		for (int n = 0; n < i % 10; n++)
			EXPECT(write(fd[1], "x", 1) == 1);
		pthread_cancel(thread);
		pthread_join(thread, &result);
		cancelled += result == PTHREAD_CANCELED;
	}
	close(fd[1]);
	for (char c; read(fd[0], &c, 1) == 1;)
		received++;
	say("cancelled %d, bytes %ld", cancelled, received);
}

static pthread_key_t key;
static int destroyed;
static void destroy(void *value)
{
	destroyed += (long)value;
}

static void *set_key(void *value)
{
	pthread_setspecific(key, value);
	return NULL;
}

CASE(thread_keys)
{
	pthread_t thread;

	EXPECT(pthread_key_create(&key, destroy) == 0);
	for (long i = 1; i <= 4; i++) {
		pthread_create(&thread, NULL, set_key, (void *)i);
		pthread_join(thread, NULL);
	}
	say("destroyed %d", destroyed);
}

static int deep(int depth)
{
	volatile char frame[1000];

	frame[0] = 1;
	return depth == endless ? 0 : deep(depth + 1) + frame[0];
}

static void *overflow(void *unused)
{
	deep(0);
	return unused;
}

static void overflow_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, overflow, NULL);
	pthread_join(thread, NULL);
}

static void *exit_main(void *argument)
{
	sleep_ms(30);
	say("after the main thread");
	exit((long)argument);
}

static void leave_main(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, exit_main, (void *)19L);
	pthread_exit(NULL);
}

CASE(thread_endings)
{
	say("guard page: %s", fate(in_child(overflow_thread)));
	say("main thread first: %s", fate(in_child(leave_main)));
}

static void *identity(void *unused)
{
	int ids[2];

	ids[0] = getuid();
	ids[1] = geteuid();
	return (void *)(long)(unused ? ids[0] : ids[1]);
}

static volatile int waiting = 1;
static void *identity_later(void *unused)
{
	while (waiting)
		sleep_ms(1);
	return identity(unused);
}

/* The library sends a signal to every thread to change them all. */
CASE(thread_credentials)
{
	pthread_t thread[3];
	long sum = 0;
	void *result;

	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, identity_later, (void *)1);
	sleep_ms(10);
	EXPECT(setuid(1000) == 0);
	waiting = 0;
	for (int i = 0; i < 3; i++) {
		pthread_join(thread[i], &result);
		sum += (long)result;
	}
	say("sum %ld", sum);
}

static void *named(void *unused)
{
	char name[20] = "";

	(void)unused;
	prctl(PR_SET_NAME, "worker");
	prctl(PR_GET_NAME, name);
	say("%s", name);
	return NULL;
}

CASE(thread_names)
{
	char name[20] = "";
	pthread_t thread;

	pthread_create(&thread, NULL, named, NULL);
	pthread_join(thread, NULL);
	prctl(PR_SET_NAME, "a name that is too long");
	prctl(PR_GET_NAME, name);
	say("%s", name);
}

static void *churn(void *unused)
{
	for (int i = 0; i < 60; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, nothing, NULL) == 0)
			pthread_join(thread, NULL);
		free(malloc(1000 + i));
	}
	return unused;
}

CASE(thread_fork_while_running)
{
	pthread_t thread[3];
	int wrong = 0;

	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, churn, NULL);
	for (int i = 0; i < 20; i++) {
		pid_t pid = split();

		if (pid == 0) {
			own++;
			_exit(own);
		}
		wrong += WEXITSTATUS(reap(pid)) != 8;
	}
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	say("wrong %d, own %d", wrong, own);
}

/* The C library's own signal for a cancellation. */
#define SIGCANCEL 33
static volatile int steps, cancel_at, was_there;
static void cancel_at_step(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	if (++steps < cancel_at)
		return;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100L;
	if (steps > cancel_at)
		return;
	ioctl(fd[0], FIONREAD, &was_there);
	pthread_cancel(pthread_self());
	/* Blocked here, it arrives where the handler interrupted. */
	syscall(SYS_tkill, syscall(SYS_gettid), SIGCANCEL);
}

static void *read_in_steps(void *argument)
{
	ssize_t (*volatile call)(int, void *, size_t) = read;
	long result;
	char c;

	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
	result = call(fd[0], &c, 1);
	__asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
	(void)argument;
	return (void *)result;
}

/* A cancellation at any instruction before a call happened keeps it from happening. */
CASE(thread_cancel_at_each_step)
{
	struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; } action;
	int lost = 0, in_time = 0, late = 0, left;

	REQUIRE(pipe(fd) == 0);
	handle_info(SIGTRAP, cancel_at_step, 0);
	/* The C library's own function would leave that signal out. */
	REQUIRE(syscall(SYS_rt_sigaction, SIGTRAP, NULL, &action, 8L) == 0);
	action.mask = -1UL;
	REQUIRE(syscall(SYS_rt_sigaction, SIGTRAP, &action, NULL, 8L) == 0);
	for (cancel_at = 1; cancel_at < 1000; cancel_at++) {
		pthread_t thread;
		void *result;

		steps = was_there = 0;
		REQUIRE(write(fd[1], "x", 1) == 1);
		REQUIRE(pthread_create(&thread, NULL, read_in_steps, NULL) == 0);
		REQUIRE(pthread_join(thread, &result) == 0);
		if (steps < cancel_at)
			break;
		in_time += result == PTHREAD_CANCELED;
		late += result != PTHREAD_CANCELED && !was_there;
		lost += result != PTHREAD_CANCELED && was_there;
		if (ioctl(fd[0], FIONREAD, &left) == 0 && left)
			read(fd[0], &(char){ 0 }, 1);
	}
	say("in time %d, late %d, lost %d", in_time > 10, late > 2, lost);
}

FAMILY(thread, T(thread_local_memory), T(thread_many), T(thread_detached), T(thread_cancel), T(thread_cancel_race),
       T(thread_keys), T(thread_endings), T(thread_credentials), T(thread_names), T(thread_fork_while_running),
       T(thread_cancel_at_each_step));
