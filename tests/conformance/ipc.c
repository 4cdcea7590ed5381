/* Named memory, semaphores and queues: POSIX and System V. */
#include "suite.h"
#include <mqueue.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

CASE(ipc_posix_memory)
{
	int fd = shm_open("/guest-shm", O_RDWR | O_CREAT | O_EXCL, 0600);
	char *at;

	if (fd < 0) {
		say("no /dev/shm: %s", errno_name(errno));
		return;
	}
	EXPECT(ftruncate(fd, 8192) == 0);
	at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (split() == 0) {
		int other = shm_open("/guest-shm", O_RDWR, 0);
		char *there = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);

		strcpy(there + 5000, "written");
		_exit(0);
	}
	wait(NULL);
	say("%s", at + 5000);
	say("unlink %s", answer(shm_unlink("/guest-shm")));
	say("again %s", answer(shm_unlink("/guest-shm")));
}

CASE(ipc_system_v_memory)
{
	struct shmid_ds facts;
	int id = shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0600);
	char *at = shmat(id, NULL, 0), *second;

	REQUIRE(id >= 0 && at != (void *)-1);
	if (split() == 0) {
		strcpy(at, "from the child");
		_exit(0);
	}
	wait(NULL);
	second = shmat(id, NULL, SHM_RDONLY);
	EXPECT(shmctl(id, IPC_STAT, &facts) == 0);
	say("%s, attached %d, size %d", second, (int)facts.shm_nattch, (int)facts.shm_segsz);
	say("removed %s", answer(shmctl(id, IPC_RMID, NULL)));
	say("still %s", at);
	say("detached %s %s", answer(shmdt(at)), answer(shmdt(second)));
	say("gone %s", shmat(id, NULL, 0) == (void *)-1 ? errno_name(errno) : "");
}

CASE(ipc_system_v_semaphore)
{
	struct sembuf down = { 0, -1, SEM_UNDO }, up = { 0, 1, 0 }, try = { 0, -1, IPC_NOWAIT };
	struct timespec soon = { 0, 10000000 };
	int id = semget(IPC_PRIVATE, 2, IPC_CREAT | 0600);
	pid_t pid;

	REQUIRE(id >= 0);
	EXPECT(semctl(id, 0, SETVAL, 1) == 0);
	pid = split();
	if (pid == 0) {
		/* Its exit gives back what it took. */
		EXPECT(semop(id, &down, 1) == 0);
		finish();
	}
	say("%s", fate(reap(pid)));
	say("value %d", semctl(id, 0, GETVAL));
	EXPECT(semop(id, &try, 1) == 0);
	say("taken %s", answer(semop(id, &try, 1)));
	say("time limit %s", answer(semtimedop(id, &down, 1, &soon)));
	pid = split();
	if (pid == 0) {
		sleep_ms(20);
		EXPECT(semop(id, &up, 1) == 0);
		finish();
	}
	say("waited %s", answer(semop(id, &down, 1)));
	say("%s", fate(reap(pid)));
	say("bad pointer %s", answer(semop(id, (void *)0xffffffff81000000UL, 1)));
	EXPECT(semctl(id, 0, IPC_RMID) == 0);
	say("gone %s", answer(semop(id, &down, 1)));
}

CASE(ipc_system_v_messages)
{
	static struct {
		long type;
		char text[16];
	} message = { 3, "three" };
	int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);

	REQUIRE(id >= 0);
	EXPECT(msgsnd(id, &message, 6, 0) == 0);
	message.type = 2;
	strcpy(message.text, "two");
	EXPECT(msgsnd(id, &message, 4, 0) == 0);
	memset(&message, 0, sizeof(message));
	say("type 2: %s %s", answer(msgrcv(id, &message, 16, 2, 0)), message.text);
	say("too small: %s", answer(msgrcv(id, &message, 2, 0, IPC_NOWAIT)));
	say("any: %s %s", answer(msgrcv(id, &message, 16, 0, 0)), message.text);
	say("none: %s", answer(msgrcv(id, &message, 16, 0, IPC_NOWAIT)));
	say("bad pointer %s", answer(msgsnd(id, (void *)0xffffffff81000000UL, 4, 0)));
	EXPECT(msgctl(id, IPC_RMID, NULL) == 0);
}

static volatile sig_atomic_t notified;
static void notice(int number, siginfo_t *info, void *context)
{
	(void)context;
	notified = number == SIGUSR1 && info->si_code == SI_MESGQ ? info->si_value.sival_int : -1;
}

CASE(ipc_posix_queue)
{
	struct mq_attr limits = { .mq_maxmsg = 2, .mq_msgsize = 32 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 9 };
	struct timespec past = { 1, 0 };
	char text[32] = "";
	unsigned priority;
	mqd_t queue;

	mq_unlink("/guest-mq");
	queue = mq_open("/guest-mq", O_RDWR | O_CREAT | O_EXCL, 0600, &limits);
	REQUIRE(queue >= 0);
	handle_info(SIGUSR1, notice, 0);
	say("notify %s", answer(mq_notify(queue, &event)));
	EXPECT(mq_send(queue, "low", 4, 1) == 0 && mq_send(queue, "high", 5, 9) == 0);
	say("notified %d", (int)notified);
	say("full %s", answer(mq_timedsend(queue, "x", 1, 0, &past)));
	EXPECT(mq_receive(queue, text, 32, &priority) == 5);
	say("%s %u", text, priority);
	say("small %s", answer(mq_receive(queue, text, 3, NULL)));
	EXPECT(mq_receive(queue, text, 32, NULL) == 4);
	say("empty %s", answer(mq_timedreceive(queue, text, 32, NULL, &past)));
	EXPECT(mq_getattr(queue, &limits) == 0);
	say("limit %ld, size %ld", limits.mq_maxmsg, limits.mq_msgsize);
	EXPECT(mq_unlink("/guest-mq") == 0);
}

CASE(ipc_named_semaphore)
{
	sem_t *semaphore = sem_open("/guest-sem", O_CREAT | O_EXCL, 0600, 0);
	pid_t pid;

	if (semaphore == SEM_FAILED) {
		say("no /dev/shm: %s", errno_name(errno));
		return;
	}
	pid = split();
	if (pid == 0) {
		sem_t *same = sem_open("/guest-sem", 0);

		EXPECT(same != SEM_FAILED && sem_post(same) == 0);
		finish();
	}
	EXPECT(sem_wait(semaphore) == 0);
	say("%s", fate(reap(pid)));
	say("unlink %s", answer(sem_unlink("/guest-sem")));
}

FAMILY(ipc, T(ipc_posix_memory), T(ipc_system_v_memory), T(ipc_system_v_semaphore), T(ipc_system_v_messages),
       T(ipc_posix_queue), T(ipc_named_semaphore));
