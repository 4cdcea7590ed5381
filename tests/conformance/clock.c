/* Clocks, timers and what they count. */
#include "suite.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>

CASE(clock_all)
{
	static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
		CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE,
		CLOCK_BOOTTIME, CLOCK_REALTIME_ALARM, CLOCK_TAI, 99 };
	struct timespec now, resolution;

	for (size_t i = 0; i < COUNT(clocks); i++)
		say("%d: %s, resolution %s", clocks[i], answer(clock_gettime(clocks[i], &now)),
		    answer(clock_getres(clocks[i], &resolution)));
}

CASE(clock_never_back)
{
	struct timespec last = { 0, 0 }, now;
	int wrong = 0;

	for (int i = 0; i < 20000; i++) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		wrong += now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec);
		last = now;
	}
	say("backwards %d", wrong);
	say("time() %d", time(NULL) > 0);
	say("gettimeofday %s", answer(gettimeofday(&(struct timeval){ 0 }, NULL)));
}

static void compute(long milliseconds)
{
	long start = now_ms();
	volatile long sum = 0;

	while (now_ms() - start < milliseconds)
		for (int i = 0; i < 5000; i++)
			sum += i;
}

CASE(clock_processor_time)
{
	struct timespec before, after, thread;
	struct tms used;
	clockid_t clock;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	compute(50);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	say("computing counts %d", after.tv_nsec != before.tv_nsec || after.tv_sec != before.tv_sec);
	before = after;
	sleep_ms(300);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	say("sleeping does not %d", (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec < 200000000);
	say("clock of a thread %d %s", pthread_getcpuclockid(pthread_self(), &clock), answer(clock_gettime(clock, &thread)));
	say("times %d", times(&used) != (clock_t)-1);
}

static volatile sig_atomic_t fired;
static void fire(int number, siginfo_t *info, void *context)
{
	(void)context;
	fired = number * 1000 + info->si_value.sival_int;
}

CASE(clock_interval_timers)
{
	struct itimerval timer = { { 0, 0 }, { 0, 20000 } };
	static const int which[] = { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };
	static const int signals[] = { SIGALRM, SIGVTALRM, SIGPROF };

	for (int i = 0; i < 3; i++) {
		long start = now_ms();

		fired = 0;
		handle_info(signals[i], fire, 0);
		EXPECT(setitimer(which[i], &timer, NULL) == 0);
		while (!fired && now_ms() - start < 5000)
			for (volatile int n = 0; n < 100000; n++)
				;
		say("timer %d: signal %d", i, (int)fired / 1000);
	}
	alarm(50);
	say("alarm %u", alarm(0));
	say("bad %s", answer(setitimer(77, &timer, NULL)));
}

static volatile int notified;
static void notify(union sigval value)
{
	notified = value.sival_int;
}

CASE(clock_posix_timers)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42 };
	struct itimerspec when = { { 0, 0 }, { 0, 20000000 } }, left;
	timer_t timer, other;

	handle_info(SIGUSR1, fire, 0);
	EXPECT(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &when, NULL) == 0);
	EXPECT(timer_gettime(timer, &left) == 0 && left.it_value.tv_nsec > 0);
	for (int i = 0; !fired && i < 500; i++)
		sleep_ms(5);
	say("signal %d", (int)fired);
	event = (struct sigevent){ .sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify, .sigev_value.sival_int = 7 };
	EXPECT(timer_create(CLOCK_REALTIME, &event, &other) == 0 && timer_settime(other, 0, &when, NULL) == 0);
	for (int i = 0; !notified && i < 500; i++)
		sleep_ms(5);
	say("thread %d", notified);
	say("delete %s %s", answer(timer_delete(timer)), answer(timer_delete(other)));
	say("again %s", answer(timer_settime((timer_t)99L, 0, &when, NULL)));
}

CASE(clock_overrun)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec when = { { 0, 5000000 }, { 0, 5000000 } };
	sigset_t set;
	timer_t timer;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	EXPECT(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &when, NULL) == 0);
	sleep_ms(100);
	EXPECT(sigwaitinfo(&set, NULL) == SIGUSR1);
	say("overrun %d", timer_getoverrun(timer) >= 5);
}

CASE(clock_setting)
{
	struct timespec now;
	struct timex state = { 0 };

	EXPECT(clock_gettime(CLOCK_REALTIME, &now) == 0);
	say("set %s", answer(clock_settime(CLOCK_REALTIME, &now)));
	say("monotonic %s", answer(clock_settime(CLOCK_MONOTONIC, &now)));
	say("state %d", adjtimex(&state) >= 0);
	now.tv_nsec = 2000000000;
	say("bad %s", answer(clock_settime(CLOCK_REALTIME, &now)));
}

CASE(clock_sleep_lengths)
{
	static const long lengths[] = { 0, 1, 5, 20, 55 };
	int early = 0;

	for (size_t i = 0; i < COUNT(lengths); i++) {
		struct timespec before, after;

		clock_gettime(CLOCK_MONOTONIC, &before);
		sleep_ms(lengths[i]);
		clock_gettime(CLOCK_MONOTONIC, &after);
		early += (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec < lengths[i] * 1000000;
	}
	say("early %d", early);
	say("bad %s", answer(nanosleep(&(struct timespec){ 0, -1 }, NULL)));
}

CASE(clock_calendar)
{
	time_t moment = 1700000000;
	struct tm parts;
	char line[64];

	setenv("TZ", "UTC0", 1);
	tzset();
	gmtime_r(&moment, &parts);
	strftime(line, sizeof(line), "%Y-%m-%d %H:%M:%S %j", &parts);
	say("%s, back %d", line, mktime(&parts) == moment);
}

/* In kernel.c */
long guest_kvm_clock(long on);

/* From here on the system call that asks for the time fails. */
static void forbid_clock_call(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { COUNT(filter), filter };

	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void ask_without_call(void)
{
	struct timespec last, now;
	int failed = 0, back = 0;

	forbid_clock_call();
	EXPECT(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now) == -1 && errno == EPERM);
	EXPECT(clock_gettime(CLOCK_MONOTONIC, &last) == 0);
	for (int i = 0; i < 1000; i++) {
		failed += clock_gettime(CLOCK_MONOTONIC, &now) != 0;
		back += now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec);
		last = now;
	}
	say("failed %d, back %d", failed, back);
}

/* The clock is read without a system call, whether it is the processor's own or KVM's. */
CASE(clock_without_a_call)
{
	say("%s", fate(in_child(ask_without_call)));
	if (guest_kvm_clock(1) != 0) {
		say("skip: the kernel has no clock of KVM");
		return;
	}
	sleep_ms(20);
	say("kvm: %s", fate(in_child(ask_without_call)));
	EXPECT(guest_kvm_clock(0) == 0);
	sleep_ms(20);
}

FAMILY(clock, T(clock_all), T(clock_never_back), T(clock_processor_time), T(clock_interval_timers),
       T(clock_posix_timers), T(clock_overrun), T(clock_setting), T(clock_sleep_lengths), T(clock_calendar),
       T(clock_without_a_call));
