/* Threads: mutex, condition variable, barrier, thread-local data, cancellation, many short lives. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 8, ROUNDS = 2000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static long counter;
static int turn;
static __thread long mine = 7;
static __thread char zeroed[300];
static pthread_key_t key;
static int destroyed;

static void count_destroyed(void *value)
{
	__atomic_fetch_add(&destroyed, (int)(long)value, __ATOMIC_SEQ_CST);
}

static void *count(void *number)
{
	double sum = 0;

	pthread_setspecific(key, (void *)1L);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&lock);
		counter++;
		pthread_mutex_unlock(&lock);
		mine += (long)number;
		zeroed[i % 300] ^= 1;
		sum += 0.5 * (double)(long)number;
	}
	return (void *)(mine == 7 + ROUNDS * (long)number && sum == ROUNDS * 0.5 * (double)(long)number ? 0L : 1L);
}

static void *ping_pong(void *which)
{
	for (int i = 0; i < 500; i++) {
		pthread_mutex_lock(&lock);
		while (turn != (int)(long)which)
			pthread_cond_wait(&turn_changed, &lock);
		turn = !turn;
		pthread_cond_broadcast(&turn_changed);
		pthread_mutex_unlock(&lock);
	}
	return 0;
}

static void cleanup(void *flag)
{
	*(int *)flag = 1;
}

static int cleaned;
static sem_t reading;

static void *block(void *fd)
{
	char c;

	pthread_cleanup_push(cleanup, &cleaned);
	sem_post(&reading);
	if (read(*(int *)fd, &c, 1) != 1)
		perror("read");
	pthread_cleanup_pop(0);
	return 0;
}

static void *nothing(void *arg)
{
	return arg;
}

static void cancel_a_blocked_read(void)
{
	pthread_t thread;
	void *result;
	int fds[2];

	if (pipe(fds))
		exit(1);
	sem_init(&reading, 0, 0);
	pthread_create(&thread, 0, block, &fds[0]);
	sem_wait(&reading);
	usleep(50000); /* Now it very likely blocks in read; cancelled before is right, too. */
	pthread_cancel(thread);
	pthread_join(thread, &result);
	printf("cancelled: %s, cleaned up: %s\n", result == PTHREAD_CANCELED ? "yes" : "no", cleaned ? "yes" : "no");
}

int main(void)
{
	pthread_t threads[THREADS];
	pthread_attr_t small;
	void *result, *wrong = 0;

	pthread_key_create(&key, count_destroyed);
	pthread_barrier_init(&barrier, 0, THREADS);
	for (long i = 0; i < THREADS; i++)
		pthread_create(&threads[i], 0, count, (void *)(i + 1));
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		wrong = result ? result : wrong;
	}
	printf("counter = %ld, thread-local data %s, destructors %d\n", counter, wrong ? "mixed up" : "kept apart", destroyed);
	printf("main's own: %ld %d\n", mine, zeroed[0]);

	pthread_create(&threads[0], 0, ping_pong, (void *)0L);
	pthread_create(&threads[1], 0, ping_pong, (void *)1L);
	pthread_join(threads[0], 0);
	pthread_join(threads[1], 0);
	printf("ping-pong done, turn %d\n", turn);

	cancel_a_blocked_read();

	/* Detached threads unmap their own stack on the way out. */
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	int made = 0;
	for (int i = 0; i < 200; i++)
		made += !pthread_create(&threads[0], &small, nothing, 0);
	for (int i = 0; i < 200; i++) {
		made += !pthread_create(&threads[0], 0, nothing, (void *)(long)i);
		pthread_join(threads[0], &result);
		made -= result != (void *)(long)i;
	}
	printf("short-lived threads: %d\n", made);
	return 0;
}
