/*
 * The conformance suite: one program, run in ring 3 and in app mode in the same boot.
 *
 * A case prints what it saw, one deterministic line at a time; no address, time or process id. The
 * harness compares the lines of the two runs. EXPECT says in addition what Linux must answer, so
 * that two equal wrong answers do not pass.
 */
#ifndef SUITE_H
#define SUITE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
/* musl knows statx since 1.2.5, and does not bear the kernel's header beside its own. */
#ifndef STATX_BASIC_STATS
#include <linux/stat.h>
#endif
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What the C library's headers are too old to name. */
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef FALLOC_FL_COLLAPSE_RANGE
#define FALLOC_FL_COLLAPSE_RANGE 8
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

#define CASE(name) static void name(void)

struct test {
	const char *name;
	void (*run)(void);
};

#define T(name) { #name, name }
/* The list of a file's cases. A case that is not in it is a compiler warning. */
#define FAMILY(name, ...) const struct test name##_family[] = { __VA_ARGS__, { NULL, NULL } }

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE 4096UL

/* Prints one line of the case's output. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The result of a call as a word: the name of errno after -1, otherwise the number. */
const char *answer(long result);
const char *errno_name(int number);
/* A wait status as words. */
const char *fate(int status);

void expect(int ok, const char *what, const char *file, int line);
#define EXPECT(condition) expect(!!(condition), #condition, __FILE_NAME__, __LINE__)
/* Ends the case when there is no point in going on. */
#define REQUIRE(condition) \
	do { \
		int ok_ = !!(condition); \
		expect(ok_, #condition, __FILE_NAME__, __LINE__); \
		if (!ok_) \
			finish(); \
	} while (0)
/* Ends this process with the number of failed expectations as its status. */
_Noreturn void finish(void);

/* Runs @body in a child process and returns its wait status. */
int in_child(void (*body)(void));
/* fork() that flushes first. */
pid_t split(void);
/* waitpid() for one child; its status. */
int reap(pid_t pid);

/* The path of this program, for exec, and the name it was called by. */
extern const char *self, *called;
/* Runs this program again as role @name in a child, and returns the wait status. */
int run_self(const char *role, const char *argument);
/* Is this the program at CPL 0? */
int app_mode(void);
/* A depth that no recursion reaches: a stack overflows first. */
extern volatile int endless;
/* The long version of the run. */
extern int full_run;

void sleep_ms(long milliseconds);
long now_ms(void);
/* Fires SIGALRM after @first milliseconds and then every @period. */
void alarm_ms(long first, long period);
void handle(int signal, void (*handler)(int), int flags);
void handle_info(int signal, void (*handler)(int, siginfo_t *, void *), int flags);
void alternate_stack(void);
/* A pattern that depends on the place, and the check for it. */
void fill(void *at, size_t size, unsigned seed);
int filled(const void *at, size_t size, unsigned seed);
/* A file in the case's own folder. */
int scratch(const char *name, const void *content, size_t size);
void *pages(size_t count);

int role(int argc, char **argv);

#endif
