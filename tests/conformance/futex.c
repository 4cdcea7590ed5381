/* Futexes on globals and what threads are made of: locks, semaphores, robust and inherited ones. */
#include "suite.h"
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>

static uint32_t in_data = 1, in_bss;

static long futex(uint32_t *at, int op, uint32_t value, const struct timespec *limit, uint32_t *other, uint32_t last)
{
	return syscall(SYS_futex, at, op, value, limit, other, last);
}

static void *wait_on(void *at)
{
	return (void *)futex(at, FUTEX_WAIT_PRIVATE, *(uint32_t *)at, NULL, NULL, 0);
}

/* Wakes until somebody was there. */
static long wake_one(uint32_t *at, int op)
{
	long woken;

	for (int i = 0; (woken = futex(at, op, 1, NULL, NULL, 0)) == 0 && i < 500; i++)
		sleep_ms(2);
	return woken;
}

CASE(futex_private)
{
	uint32_t *list[] = { &in_data, &in_bss, pages(1) };
	pthread_t thread;
	void *result;

	for (size_t i = 0; i < COUNT(list); i++) {
		pthread_create(&thread, NULL, wait_on, list[i]);
		say("woken %ld", wake_one(list[i], FUTEX_WAKE_PRIVATE));
		pthread_join(thread, &result);
		say("waiter %ld", (long)result);
	}
}

CASE(futex_shared)
{
	uint32_t *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = split();

	if (pid == 0) {
		say("waiter %s", answer(futex(shared, FUTEX_WAIT, 0, NULL, NULL, 0)));
		finish();
	}
	long woken = wake_one(shared, FUTEX_WAKE);
	int status = reap(pid);

	say("woken %ld, %s", woken, fate(status));
	/* The same address in another process is another futex. */
	pid = split();
	if (pid == 0) {
		struct timespec soon = { 0, 50000000 };

		say("alone %s", answer(futex(&in_bss, FUTEX_WAIT, 0, &soon, NULL, 0)));
		finish();
	}
	sleep_ms(20);
	woken = futex(&in_bss, FUTEX_WAKE, 1, NULL, NULL, 0);
	status = reap(pid);
	say("nobody %ld, %s", woken, fate(status));
}

/* Shared means that another process could change the word, which nobody can in read-only data. */
CASE(futex_shared_in_rodata)
{
	static const uint32_t word = 3;
	struct timespec soon = { 0, 1000000 };

	say("wake %s", answer(futex((void *)&word, FUTEX_WAKE, 1, NULL, NULL, 0)));
	say("wait %s", answer(futex((void *)&word, FUTEX_WAIT, 3, &soon, NULL, 0)));
}

CASE(futex_answers)
{
	struct timespec soon = { 0, 5000000 }, past = { 1, 0 }, bad = { 0, 2000000000 };

	say("changed %s", answer(futex(&in_data, FUTEX_WAIT, 7, NULL, NULL, 0)));
	say("timeout %s", answer(futex(&in_data, FUTEX_WAIT, 1, &soon, NULL, 0)));
	say("absolute %s", answer(futex(&in_data, FUTEX_WAIT_BITSET, 1, &past, NULL, -1)));
	say("bad time %s", answer(futex(&in_data, FUTEX_WAIT, 1, &bad, NULL, 0)));
	say("no bits %s", answer(futex(&in_data, FUTEX_WAIT_BITSET, 1, NULL, NULL, 0)));
	say("unaligned %s", answer(futex((void *)((char *)&in_data + 1), FUTEX_WAIT, 1, NULL, NULL, 0)));
	say("bad op %s", answer(futex(&in_data, 99, 1, NULL, NULL, 0)));
	say("wake op %s", answer(futex(&in_data, FUTEX_WAKE_OP, 1, (void *)1, &in_bss, FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0))));
	say("now %u", in_bss);
}

CASE(futex_requeue)
{
	static uint32_t from, to;
	pthread_t thread[4];
	long moved = 0;

	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, wait_on, &from);
	for (int i = 0; moved < 4 && i < 500; i++) {
		moved += futex(&from, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)8, &to, 0);
		sleep_ms(2);
	}
	say("moved %ld", moved);
	say("left %ld", futex(&from, FUTEX_WAKE_PRIVATE, 8, NULL, NULL, 0));
	say("woken %ld", futex(&to, FUTEX_WAKE_PRIVATE, 8, NULL, NULL, 0));
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

CASE(futex_waitv)
{
	struct futex_waitv list[2] = {
		{ .val = 1, .uaddr = (uintptr_t)&in_data, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
		{ .val = 0, .uaddr = (uintptr_t)&in_bss, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
	};
	struct timespec past = { 1, 0 };

	say("timeout %s", answer(syscall(SYS_futex_waitv, list, 2, 0, &past, CLOCK_MONOTONIC)));
	in_bss = 1;
	say("changed %s", answer(syscall(SYS_futex_waitv, list, 2, 0, NULL, 0)));
	say("bad list %s", answer(syscall(SYS_futex_waitv, 16L, 2, 0, NULL, 0)));
}

static pthread_mutex_t inherited;
static void *take_inherited(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&inherited);
	in_bss++;
	pthread_mutex_unlock(&inherited);
	return NULL;
}

CASE(futex_priority_inheritance)
{
	struct timespec past = { 1, 0 };
	pthread_mutexattr_t kind;
	pthread_t thread[3];
	uint32_t lock = 0;

	say("lock %s", answer(futex(&lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0)));
	say("mine %d", lock == (uint32_t)gettid());
	say("again %s", answer(futex(&lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0)));
	say("try %s", answer(futex(&lock, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0)));
	say("unlock %s", answer(futex(&lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0)));
	say("lock %u", lock);
	pthread_mutexattr_init(&kind);
	say("protocol %d", pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT));
	pthread_mutex_init(&inherited, &kind);
	pthread_mutex_lock(&inherited);
	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, take_inherited, NULL);
	sleep_ms(30);
	say("before %u", in_bss);
	pthread_mutex_unlock(&inherited);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	say("after %u", in_bss);
	say("time limit %d", pthread_mutex_timedlock(&inherited, &past));
}

static pthread_mutex_t robust_lock;
static void *die_with_lock(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&robust_lock);
	return NULL;
}

CASE(futex_robust_thread)
{
	pthread_mutexattr_t kind;
	pthread_t thread;
	int result;

	pthread_mutexattr_init(&kind);
	pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&robust_lock, &kind);
	pthread_create(&thread, NULL, die_with_lock, NULL);
	pthread_join(thread, NULL);
	result = pthread_mutex_lock(&robust_lock);
	say("%s", errno_name(result));
	say("consistent %d", pthread_mutex_consistent(&robust_lock));
	say("unlock %d", pthread_mutex_unlock(&robust_lock));
}

CASE(futex_robust_process)
{
	pthread_mutex_t *lock = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t kind;
	pid_t pid;

	pthread_mutexattr_init(&kind);
	pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(lock, &kind);
	pid = split();
	if (pid == 0) {
		pthread_mutex_lock(lock);
		raise(SIGKILL);
	}
	say("%s", fate(reap(pid)));
	say("%s", errno_name(pthread_mutex_lock(lock)));
	say("list %s", answer(syscall(SYS_get_robust_list, 0, &(void *){ 0 }, &(size_t){ 0 })));
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_spinlock_t spin;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t semaphore;
static int counter, onces, turn;

static void count_once(void)
{
	onces++;
}

static void *contend(void *unused)
{
	(void)unused;
	pthread_once(&once, count_once);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(&mutex);
		counter++;
		pthread_mutex_unlock(&mutex);
		pthread_rwlock_wrlock(&rwlock);
		counter++;
		pthread_rwlock_unlock(&rwlock);
		pthread_rwlock_rdlock(&rwlock);
		pthread_rwlock_unlock(&rwlock);
		sem_wait(&semaphore);
		sem_post(&semaphore);
	}
	return NULL;
}

CASE(futex_thread_locks)
{
	pthread_t thread[4];

	pthread_barrier_init(&barrier, NULL, 4);
	pthread_spin_init(&spin, 0);
	sem_init(&semaphore, 0, 2);
	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, contend, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	/* The two locks do not exclude each other: only some of the total is sure. */
	say("once %d, counted %d", onces, counter > 8000 && counter <= 16000);
}

static void *take_turns(void *which)
{
	for (int i = 0; i < 300; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 3 != (long)which)
			pthread_cond_wait(&condition, &mutex);
		turn++;
		pthread_cond_broadcast(&condition);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

CASE(futex_condition)
{
	struct timespec past = { 1, 0 };
	pthread_t thread[3];

	for (long i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, take_turns, (void *)i);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	pthread_mutex_lock(&mutex);
	say("turns %d, time limit %s", turn, errno_name(pthread_cond_timedwait(&condition, &mutex, &past)));
}

CASE(futex_semaphore_between_processes)
{
	sem_t *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct timespec past = { 1, 0 };
	pid_t pid;
	int value;

	EXPECT(sem_init(shared, 1, 0) == 0);
	pid = split();
	if (pid == 0) {
		for (int i = 0; i < 3; i++)
			sem_post(shared);
		finish();
	}
	for (int i = 0; i < 3; i++)
		EXPECT(sem_wait(shared) == 0);
	say("%s", fate(reap(pid)));
	say("try %s", answer(sem_trywait(shared)));
	say("time limit %s", answer(sem_timedwait(shared, &past)));
	EXPECT(sem_getvalue(shared, &value) == 0 && value == 0);
}

FAMILY(futex, T(futex_private), T(futex_shared), T(futex_shared_in_rodata), T(futex_answers), T(futex_requeue), T(futex_waitv),
       T(futex_priority_inheritance), T(futex_robust_thread), T(futex_robust_process), T(futex_thread_locks),
       T(futex_condition), T(futex_semaphore_between_processes));
