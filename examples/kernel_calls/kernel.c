// SPDX-License-Identifier: MIT OR Apache-2.0
/* The kernel's side: compiled with Linux, by its options and with its headers. */
#include <linux/capability.h>
#include <linux/delay.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

void rot13(char *text);
void rot13_slowly(char *text);
long mix(long a, long b, long c, long d, long e, long f);
long checked_length(const char __user *text);
long whoami(void);

/* Pointers of the program's are used as they are. */
void rot13(char *text)
{
	for (; *text; text++) {
		char base = *text & ~31;

		if ((*text | 32) >= 'a' && (*text | 32) <= 'z')
			*text = base + 1 + (*text - base + 12) % 26;
	}
}

/* The same with a sleep before each letter. */
void rot13_slowly(char *text)
{
	char one[2] = "";

	for (; *text; text++) {
		msleep(1);
		one[0] = *text;
		rot13(one);
		*text = one[0];
	}
}

/* Six arguments arrive in order, and all 64 bits come back. */
long mix(long a, long b, long c, long d, long e, long f)
{
	return ((((a * 10 + b) * 10 + c) * 10 + d) * 10 + e) * 10 + f + (1L << 40);
}

/* The kernel's own way with a user's pointer: a bad one is an error, not a crash. */
long checked_length(const char __user *text)
{
	long length = strnlen_user(text, 4096);

	return length ? length - 1 : -EFAULT;
}

/* A call runs as the calling process. */
long whoami(void)
{
	return task_pid_nr(current);
}
