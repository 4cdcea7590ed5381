/*
 * Disks and shares of the host. /etc/ukl/mounts is a row of NUL-terminated
 * strings, five for each: file system (`raw` for a disk without one), serial
 * number of the disk or tag of the share, place in the guest, options, and
 * `ro` or `rw`.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define MOUNTS "/etc/ukl/mounts"
#define MOUNTS_MAX 32

/* The host makes no file that is longer. */
static char text[1 << 16];
/* What was mounted, in order. */
static const char *mounted[MOUNTS_MAX];
static unsigned mounts;

static int failed(const char *what, const char *about)
{
	const char *why = strerror(errno);

	complain(what, about);
	report("failed %s `%.200s`: %s\n", what, about, why);
	return 0;
}

/* Whether /sys says that the disk `name` has this serial number. */
static int has_serial(const char *name, const char *serial)
{
	char path[PATH_MAX], found[64];

	snprintf(path, sizeof path, "/sys/block/%s/serial", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, found, sizeof found - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	found[n] = 0;
	found[strcspn(found, "\n")] = 0;
	return !strcmp(found, serial);
}

/* The device of the disk with this serial number: the order of disks is the machine's affair. */
static int find_disk(const char *serial, char *device, size_t size)
{
	DIR *disks = opendir("/sys/block");
	struct dirent *entry;
	int found = 0;

	while (disks && !found && (entry = readdir(disks))) {
		found = has_serial(entry->d_name, serial);
		if (found)
			snprintf(device, size, "/dev/%s", entry->d_name);
	}
	if (disks)
		closedir(disks);
	errno = ENODEV;
	return found;
}

/* The folder `path` and those above it. */
static void make_folders(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(path, 0755);
		*slash = '/';
	}
	mkdir(path, 0755);
}

static int mount_one(const char *type, const char *source, char *where, const char *options, int read_only)
{
	char device[PATH_MAX];
	int raw = !strcmp(type, "raw");

	if (raw || !strcmp(type, "ext4")) {
		if (!find_disk(source, device, sizeof device))
			return failed("no disk for", where);
		source = device;
	}
	if (raw)
		return !symlink(source, where) || failed("cannot link", where);
	make_folders(where);
	if (mount(source, where, type, read_only ? MS_RDONLY : 0, options))
		return failed("cannot mount", where);
	mounted[mounts++] = where;
	return 1;
}

int mount_storage(void)
{
	int fd = open(MOUNTS, O_RDONLY | O_CLOEXEC), good = 1;
	ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	char *at = text, *field[5];

	if (fd >= 0)
		close(fd);
	while (good && at < text + size && mounts < MOUNTS_MAX) {
		for (int i = 0; i < 5; i++, at += strlen(at) + 1)
			field[i] = at;
		good = mount_one(field[0], field[1], field[2], field[3], !strcmp(field[4], "ro"));
	}
	return good;
}

/* Waits until every killed process is gone, and with it its open files; one that the kernel holds is left. */
static void reap_all(void)
{
	struct timespec moment = { .tv_nsec = 5000000 };

	for (int patience = 600; patience > 0 && waitpid(-1, NULL, WNOHANG) >= 0; patience--)
		nanosleep(&moment, NULL);
}

void unmount_storage(void)
{
	if (mounts == 0)
		return;
	reap_all();
	while (mounts > 0) {
		const char *where = mounted[--mounts];

		/* Something below it may be mounted by the program: then it is at least complete. */
		if (umount2(where, 0) && mount(NULL, where, NULL, MS_REMOUNT | MS_RDONLY, NULL))
			failed("cannot unmount", where);
	}
}
