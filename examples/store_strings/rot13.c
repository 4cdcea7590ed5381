// SPDX-License-Identifier: MIT OR Apache-2.0
/* The kernel's side: compiled with Linux, called by the program. */
#include "rot13.h"

static char rotate(char c, char first)
{
	return first + (c - first + 13) % 26;
}

void rot13(char *msg)
{
	for (; *msg; msg++) {
		if (*msg >= 'a' && *msg <= 'z')
			*msg = rotate(*msg, 'a');
		else if (*msg >= 'A' && *msg <= 'Z')
			*msg = rotate(*msg, 'A');
	}
}
