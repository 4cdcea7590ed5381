// SPDX-License-Identifier: MIT OR Apache-2.0
/* Compiled with the kernel, by its options and with its headers. */
#include <linux/ctype.h>

#include "rot13.h"

void rot13(char *msg)
{
	for (; *msg; msg++) {
		if (isascii(*msg) && isalpha(*msg))
			*msg += tolower(*msg) < 'n' ? 13 : -13;
	}
}
