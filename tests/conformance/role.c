/* What the program does when a case executes it again. */
#include "suite.h"

extern char **environ;
static int fresh = 1;

/* Says whether its data is the one it was linked with. */
static int role_fresh(const char *argument)
{
	int was = fresh;

	fresh = 99;
	return was == 1 && strcmp(argument, "fresh") == 0 ? 7 : 1;
}

static int role_exit(const char *argument)
{
	return atoi(argument);
}

static int role_echo(const char *argument)
{
	say("echo %s", argument);
	return 0;
}

static int role_signal(const char *argument)
{
	raise(atoi(argument));
	return 0;
}

/* Which of the descriptors 3 to 19 are open. */
static int role_descriptors(const char *argument)
{
	int open = 0;

	(void)argument;
	for (int fd = 3; fd < 20; fd++)
		open += fcntl(fd, F_GETFD) >= 0;
	return open;
}

static int role_environment(const char *argument)
{
	int count = 0;

	for (char **entry = environ; *entry; entry++)
		count++;
	say("%s=%s of %d", argument, getenv(argument) ? getenv(argument) : "(none)", count);
	return 0;
}

/* Signals that are ignored, handled, blocked: what exec keeps. */
static int role_signals(const char *argument)
{
	struct sigaction usr1, usr2;
	sigset_t mask;

	(void)argument;
	sigaction(SIGUSR1, NULL, &usr1);
	sigaction(SIGUSR2, NULL, &usr2);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	say("usr1 ignored %d, usr2 default %d, hup blocked %d", usr1.sa_handler == SIG_IGN,
	    usr2.sa_handler == SIG_DFL, sigismember(&mask, SIGHUP));
	return 0;
}

static int role_sleep(const char *argument)
{
	sleep_ms(atol(argument));
	return 3;
}

static int role_length(const char *argument)
{
	say("argument of %zu bytes", strlen(argument));
	return 0;
}

/* In control.c */
int role_attack(const char *argument);
int role_start_traced(const char *argument);

int role(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const char *);
	} roles[] = {
		{ "fresh", role_fresh }, { "exit", role_exit }, { "echo", role_echo }, { "signal", role_signal },
		{ "descriptors", role_descriptors }, { "environment", role_environment },
		{ "signals", role_signals }, { "sleep", role_sleep }, { "length", role_length },
		{ "attack", role_attack }, { "start_traced", role_start_traced },
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < COUNT(roles); i++)
		if (strcmp(argv[0], roles[i].name) == 0)
			return roles[i].run(argc > 1 ? argv[1] : "");
	return 96;
}
