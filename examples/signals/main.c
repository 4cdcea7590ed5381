/* Signals: handlers, masks, alternate stack, interrupted and restarted calls, jumps out of handlers. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t seen, ticks;
static volatile siginfo_t last;
static char *volatile handler_stack;
static char alternate[64 * 1024];
static sigjmp_buf back;
static int wake[2];

static void note(int signal, siginfo_t *info, void *context)
{
	char here;

	(void)context;
	handler_stack = &here;
	memcpy((void *)&last, info, sizeof last);
	seen = signal;
}

static void tick(int signal)
{
	(void)signal;
	ticks++;
}

static void wake_up(int signal)
{
	(void)signal;
	seen = SIGUSR2;
	if (write(wake[1], "x", 1) != 1)
		_exit(9);
}

static void escape(int signal)
{
	siglongjmp(back, signal);
}

static void handle(int signal, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	sigaction(signal, &action, 0);
}

static void handlers_and_masks(void)
{
	struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate };
	sigset_t set, pending;
	int taken;

	sigaction(SIGUSR1, &action, 0);
	raise(SIGUSR1);
	printf("handler saw SIGUSR1: %d, from itself: %d\n", seen == SIGUSR1, last.si_pid == getpid());

	sigaltstack(&stack, 0);
	raise(SIGUSR1);
	printf("on the alternate stack: %d\n", handler_stack >= alternate && handler_stack < alternate + sizeof alternate);

	seen = 0;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, 0);
	raise(SIGUSR1);
	sigpending(&pending);
	printf("blocked: seen %d, pending %d\n", seen, sigismember(&pending, SIGUSR1));
	sigwait(&set, &taken);
	printf("sigwait took SIGUSR1: %d, seen %d\n", taken == SIGUSR1, seen);
	sigprocmask(SIG_UNBLOCK, &set, 0);
}

/* A child sends SIGUSR2 while we sleep in read; the handler writes what a restarted read finds. */
static void interrupted_calls(void)
{
	char c;

	for (int restart = 0; restart < 2; restart++) {
		if (pipe(wake))
			_exit(9);
		seen = 0;
		handle(SIGUSR2, wake_up, restart ? SA_RESTART : 0);
		pid_t parent = getpid(), child = fork();
		if (!child) {
			usleep(100000);
			kill(parent, SIGUSR2);
			_exit(0);
		}
		errno = 0;
		ssize_t n = read(wake[0], &c, 1);
		printf("read %s: %zd%s\n", restart ? "restarted" : "interrupted", n, errno == EINTR ? " EINTR" : "");
		while (waitpid(child, 0, 0) < 0 && errno == EINTR)
			;
		close(wake[0]);
		close(wake[1]);
	}
}

/* A timer interrupts floating point work all the time; not a bit of the result may change. */
static void floating_point_survives(void)
{
	struct itimerval often = { { 0, 2000 }, { 0, 2000 } }, never = { { 0, 0 }, { 0, 0 } };
	double first = 0, again;
	int differing = 0;

	handle(SIGALRM, tick, SA_RESTART);
	setitimer(ITIMER_REAL, &often, 0);
	for (int round = 0; round < 5 || ticks < 10; round++) {
		again = 0;
		for (int i = 1; i < 20000; i++)
			again += sqrt(i) / (again + 1) + 1.0 / i;
		if (!round)
			first = again;
		differing += memcmp(&first, &again, sizeof first) != 0;
	}
	setitimer(ITIMER_REAL, &never, 0);
	printf("timer ticks: %s, results that differ: %d\n", ticks >= 10 ? "enough" : "too few", differing);
}

static void jumps_out_of_handlers(void)
{
	volatile int zero = 0, *volatile nowhere = 0;

	handle(SIGSEGV, escape, SA_NODEFER);
	handle(SIGFPE, escape, 0);
	handle(SIGILL, escape, 0);
	for (int i = 0; i < 3; i++)
		if (sigsetjmp(back, 1) == 0)
			*nowhere = 1;
	printf("null writes survived\n");
	if (sigsetjmp(back, 1) == 0)
		zero = 5 / zero;
	printf("division by zero survived\n");
	if (sigsetjmp(back, 1) == 0)
		__asm__ volatile("ud2");
	printf("undefined instruction survived\n");
}

static void deaths_of_children(void)
{
	int status;
	pid_t child = fork();

	if (!child)
		for (;;)
			pause();
	kill(child, SIGTERM);
	waitpid(child, &status, 0);
	printf("child died of SIGTERM: %d\n", WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	child = fork();
	if (!child)
		_exit(7);
	waitpid(child, &status, 0);
	printf("child exited with %d\n", WEXITSTATUS(status));
}

int main(void)
{
	setvbuf(stdout, 0, _IOLBF, 0);
	handlers_and_masks();
	interrupted_calls();
	floating_point_survives();
	jumps_out_of_handlers();
	deaths_of_children();
	return 0;
}
