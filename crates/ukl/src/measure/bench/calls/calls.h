/*
 * One operation of `ukl bench calls` is one file: it defines what is measured
 * and gives it a name, which stands in the table of calls.rs as well.
 */
#ifndef CALLS_H
#define CALLS_H

/* A batch of them is measured at once; `operate` gets their numbers from 0. */
#define OPERATIONS 200

struct operation {
	/* Once, before anything is measured. */
	void (*prepare)(void);
	void (*operate)(int number);
	/* Before each batch, which does not count. */
	void (*between)(void);
	/* Instead of batches: the whole measurement, by `tell`. */
	void (*measure)(const char *name);
	/* Once, behind everything. */
	void (*finish)(void);
};

#define OPERATION(name) const struct operation operation_##name

void die(const char *what);
/* One line with the middle one of `count` samples, of which each is of so many operations. */
void tell(const char *name, int operations, unsigned long long *ticks, int count);

#endif
