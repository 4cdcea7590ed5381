/* What init hears from the host, and what it tells. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

int control = -1;

const char *word(const char *name)
{
	static char line[4096];
	int fd = *line ? -1 : open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	size_t length = strlen(name);
	char *value = NULL;

	if (fd >= 0) {
		read(fd, line, sizeof line - 1);
		close(fd);
	}
	for (const char *at = line; !value && (at = strstr(at, "ukl.")); at++)
		if (!strncmp(at + 4, name, length) && at[4 + length] == '=')
			sscanf(at + 5 + length, "%m[^ \n]", &value);
	return value;
}

void report(const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	size_t length = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	if (length >= sizeof line)
		length = sizeof line - 1;
	/* A missing port is nobody's concern. */
	for (size_t done = 0; done < length;) {
		ssize_t n = write(control, line + done, length - done);

		if (n < 0 && errno != EINTR)
			return;
		done += n > 0 ? n : 0;
	}
}

void complain(const char *what, const char *about)
{
	dprintf(2, "init: %s `%s`: %s\n", what, about, strerror(errno));
}
