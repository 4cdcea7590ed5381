/* Files, folders, descriptors and terminals. */
#include "suite.h"
#include <dirent.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <termios.h>

CASE(files_read_write)
{
	char buffer[16] = "";
	struct stat status;
	int fd = open("new", O_RDWR | O_CREAT | O_EXCL, 0640);

	EXPECT(write(fd, "hello world", 11) == 11);
	EXPECT(pread(fd, buffer, 5, 6) == 5 && strcmp(buffer, "world") == 0);
	EXPECT(pwrite(fd, "W", 1, 6) == 1);
	EXPECT(lseek(fd, -5, SEEK_END) == 6);
	EXPECT(read(fd, buffer, sizeof(buffer)) == 5);
	EXPECT(fstat(fd, &status) == 0 && status.st_size == 11);
	say("%.5s", buffer);
	say("mode %o", status.st_mode);
	say("links %d", (int)status.st_nlink);
	say("eof %s", answer(read(fd, buffer, 1)));
	say("again exclusively: %s", answer(open("new", O_CREAT | O_EXCL, 0644)));
	EXPECT(close(fd) == 0);
	say("closed twice: %s", answer(close(fd)));
}

CASE(files_append_truncate)
{
	int fd = open("log", O_RDWR | O_CREAT | O_APPEND, 0644);
	char buffer[32] = "";

	EXPECT(write(fd, "one", 3) == 3 && lseek(fd, 0, SEEK_SET) == 0 && write(fd, "two", 3) == 3);
	EXPECT(ftruncate(fd, 4) == 0 && truncate("log", 8) == 0);
	EXPECT(pread(fd, buffer, sizeof(buffer), 0) == 8);
	say("%s, then %d %d", buffer, buffer[4], buffer[7]);
	say("reopened with O_TRUNC: %s", answer(open("log", O_WRONLY | O_TRUNC)) ? "opened" : "");
	say("size %ld", (long)lseek(fd, 0, SEEK_END));
}

CASE(files_links)
{
	char target[32] = "";
	struct stat status;

	close(scratch("a", "x", 1));
	EXPECT(link("a", "b") == 0 && symlink("a", "s") == 0);
	EXPECT(stat("s", &status) == 0);
	say("links %d", (int)status.st_nlink);
	EXPECT(lstat("s", &status) == 0 && S_ISLNK(status.st_mode));
	say("readlink %s %s", answer(readlink("s", target, sizeof(target))), target);
	EXPECT(rename("b", "c") == 0 && unlink("a") == 0);
	say("dangling %s", answer(open("s", O_RDONLY)));
	say("nofollow %s", answer(open("s", O_RDONLY | O_NOFOLLOW)));
	say("renameat2 noreplace %s", answer(syscall(SYS_renameat2, AT_FDCWD, "c", AT_FDCWD, "s", 1)));
	say("exchange %s", answer(syscall(SYS_renameat2, AT_FDCWD, "c", AT_FDCWD, "s", 2)));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

CASE(files_folders)
{
	char *names[16], path[256];
	struct dirent *entry;
	size_t count = 0;
	DIR *folder;

	EXPECT(mkdir("d", 0755) == 0 && mkdir("d/e", 0700) == 0);
	say("again %s", answer(mkdir("d", 0755)));
	say("not empty %s", answer(rmdir("d")));
	for (int i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "d/file%d", i);
		close(scratch(path, "", 0));
	}
	folder = opendir("d");
	REQUIRE(folder);
	while ((entry = readdir(folder)) && count < COUNT(names))
		names[count++] = strdup(entry->d_name);
	qsort(names, count, sizeof(names[0]), by_name);
	for (size_t i = 0; i < count; i++)
		say("%s", names[i]);
	rewinddir(folder);
	EXPECT(readdir(folder) != NULL);
	EXPECT(fchdir(dirfd(folder)) == 0 && getcwd(path, sizeof(path)));
	say("cwd ends in %s", strrchr(path, '/'));
	say("getcwd into 2 bytes: %s", getcwd(path, 2) ? "fits" : errno_name(errno));
}

CASE(files_modes)
{
	struct stat status;

	umask(027);
	close(open("m", O_CREAT | O_WRONLY, 0777));
	EXPECT(stat("m", &status) == 0);
	say("mode %o", status.st_mode);
	EXPECT(chmod("m", 04511) == 0 && stat("m", &status) == 0);
	say("mode %o", status.st_mode);
	say("access %s", answer(access("m", R_OK | W_OK | X_OK)));
	EXPECT(chown("m", 12, 34) == 0 && stat("m", &status) == 0);
	say("owner %d:%d, mode %o", status.st_uid, status.st_gid, status.st_mode);
	say("old umask %o", umask(0));
}

CASE(files_times)
{
	struct timespec times[2] = { { 1000, 500 }, { 2000, 600 } };
	struct stat status;

	close(scratch("t", "", 0));
	EXPECT(utimensat(AT_FDCWD, "t", times, 0) == 0 && stat("t", &status) == 0);
	say("atime %ld.%ld mtime %ld.%ld", (long)status.st_atim.tv_sec, status.st_atim.tv_nsec,
	    (long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
	times[0].tv_nsec = UTIME_OMIT;
	times[1].tv_nsec = UTIME_NOW;
	EXPECT(utimensat(AT_FDCWD, "t", times, 0) == 0 && stat("t", &status) == 0);
	say("omitted %ld, now %d", (long)status.st_atim.tv_sec, status.st_mtim.tv_sec > 2000);
}

CASE(files_sparse)
{
	int fd = scratch("sparse", "", 0);
	struct stat status;

	EXPECT(pwrite(fd, "x", 1, 1 << 20) == 1 && fstat(fd, &status) == 0);
	say("size %ld, few blocks %d", (long)status.st_size, status.st_blocks < 64);
	say("data at %ld, hole at %ld", (long)lseek(fd, 0, SEEK_DATA), (long)lseek(fd, 1 << 20, SEEK_HOLE));
	EXPECT(fallocate(fd, 0, 0, 65536) == 0);
	say("data after fallocate at %ld", (long)lseek(fd, 0, SEEK_DATA));
	say("punch %s", answer(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 4096)));
	say("collapse %s", answer(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096)));
	say("past the end %s", answer(lseek(fd, 1 << 30, SEEK_DATA)));
}

static int lock_range(int fd, int command, short type, off_t start, struct flock *lock)
{
	*lock = (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = 10 };
	return fcntl(fd, command, lock);
}

CASE(files_record_locks)
{
	int fd = scratch("lock", "0123456789", 10);
	struct flock lock;
	pid_t parent = getpid(), pid;

	EXPECT(lock_range(fd, F_SETLK, F_WRLCK, 0, &lock) == 0);
	pid = split();
	if (pid == 0) {
		say("taken: %s", answer(lock_range(fd, F_SETLK, F_WRLCK, 5, &lock)));
		EXPECT(lock_range(fd, F_GETLK, F_RDLCK, 5, &lock) == 0);
		say("by the parent %d, type %d, start %d", lock.l_pid == parent, lock.l_type, (int)lock.l_start);
		say("elsewhere: %s", answer(lock_range(fd, F_SETLK, F_WRLCK, 20, &lock)));
		finish();
	}
	say("child %s", fate(reap(pid)));
	EXPECT(lock_range(fd, F_SETLK, F_UNLCK, 0, &lock) == 0);
	EXPECT(lock_range(fd, F_OFD_SETLK, F_WRLCK, 0, &lock) == 0);
	fd = open("lock", O_RDWR);
	say("by another open file: %s", answer(lock_range(fd, F_OFD_SETLK, F_WRLCK, 0, &lock)));
}

CASE(files_flock)
{
	int one = scratch("f", "", 0), two = open("f", O_RDONLY);

	EXPECT(flock(one, LOCK_SH) == 0 && flock(two, LOCK_SH) == 0);
	say("exclusive: %s", answer(flock(two, LOCK_EX | LOCK_NB)));
	close(one);
	say("alone: %s", answer(flock(two, LOCK_EX | LOCK_NB)));
}

CASE(files_descriptors)
{
	int fd = scratch("d", "abc", 3), copy = dup(fd);
	char c = 0;

	EXPECT(read(fd, &c, 1) == 1 && read(copy, &c, 1) == 1);
	say("shared offset: %c", c);
	say("dup2 %s", answer(dup2(fd, 50)));
	say("same %s", answer(dup2(fd, fd)));
	say("dup3 same %s", answer(dup3(fd, fd, 0)));
	say("cloexec %s", answer(fcntl(fcntl(fd, F_DUPFD_CLOEXEC, 60), F_GETFD)));
	say("of dup3 %d", fcntl(dup3(fd, 51, O_CLOEXEC), F_GETFD));
	say("flags %d", (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
	say("close_range %s", answer(syscall(SYS_close_range, 50, 70, 0)));
	say("then %s", answer(fcntl(50, F_GETFD)));
	say("dup of a bad one %s", answer(dup(1000)));
}

CASE(files_descriptors_over_exec)
{
	int kept = dup2(STDIN_FILENO, 10), closed = dup3(STDIN_FILENO, 11, O_CLOEXEC);

	EXPECT(kept == 10 && closed == 11);
	for (int fd = 3; fd < 10; fd++)
		close(fd);
	say("open in the new program: %s", fate(run_self("descriptors", "")));
}

CASE(files_vectors)
{
	static char head[4] = "head", tail[] = "the tail";
	char one[3] = "", two[32] = "";
	struct iovec out[] = { { head, 4 }, { NULL, 0 }, { tail, 8 } }, in[] = { { one, 3 }, { two, 31 } };
	int fd = scratch("v", "", 0);

	say("writev %s", answer(writev(fd, out, 3)));
	say("pwritev %s", answer(pwritev(fd, out, 1, 100)));
	EXPECT(lseek(fd, 0, SEEK_SET) == 0);
	say("readv %s %.3s %.9s", answer(readv(fd, in, 2)), one, two);
	say("preadv %s %.3s", answer(preadv(fd, in, 2, 5)), one);
	say("preadv2 %s", answer(syscall(SYS_preadv2, fd, in, 2, 5L, 0L, 0)));
	say("too many %s", answer(writev(fd, out, 2000)));
	say("negative %s", answer(writev(fd, out, -1)));
}

CASE(files_statx_openat2)
{
	struct open_how how = { .flags = O_RDONLY, .resolve = RESOLVE_BENEATH };
	struct statx status;

	close(scratch("x", "12345", 5));
	EXPECT(syscall(SYS_statx, AT_FDCWD, "x", 0, STATX_BASIC_STATS, &status) == 0);
	say("size %d mode %o", (int)status.stx_size, status.stx_mode);
	say("beneath: %d", (int)syscall(SYS_openat2, AT_FDCWD, "x", &how, sizeof(how)) >= 0);
	say("escape: %s", answer(syscall(SYS_openat2, AT_FDCWD, "/tmp", &how, sizeof(how))));
	say("bad size: %s", answer(syscall(SYS_openat2, AT_FDCWD, "x", &how, 3)));
}

CASE(files_unnamed)
{
	char path[64];
	struct stat status;
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);

	EXPECT(fd >= 0 && write(fd, "data", 4) == 4);
	EXPECT(fstat(fd, &status) == 0 && status.st_nlink == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	say("linked %s", answer(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW)));
	EXPECT(stat("named", &status) == 0);
	say("size %ld links %d", (long)status.st_size, (int)status.st_nlink);
}

CASE(files_stdio)
{
	char line[32];
	int a, b;
	FILE *file = fopen("stdio", "w+");

	REQUIRE(file);
	for (int i = 0; i < 1000; i++)
		fprintf(file, "%d %d\n", i, i * i);
	rewind(file);
	for (int i = 0; i < 1000; i++)
		EXPECT(fscanf(file, "%d %d", &a, &b) == 2 && a == i && b == i * i);
	say("last %d %d, at %ld", a, b, ftell(file));
	EXPECT(fseek(file, -7, SEEK_END) == 0 && fgets(line, sizeof(line), file));
	say("end %s", strtok(line, "\n"));
	say("%d %.3f %e %#x %s %c %5.2Lf", -1, 3.14159, 1e100, 255, "str", 'c', 2.5L);
	EXPECT(fclose(file) == 0);
}

CASE(files_errors)
{
	static char name[300];

	memset(name, 'n', sizeof(name) - 1);
	close(scratch("plain", "", 0));
	EXPECT(symlink("loop", "loop") == 0);
	say("absent %s", answer(open("absent", O_RDONLY)));
	say("not a folder %s", answer(open("plain/x", O_RDONLY)));
	say("write to a folder %s", answer(open(".", O_WRONLY)));
	say("loop %s", answer(open("loop", O_RDONLY)));
	say("name too long %s", answer(open(name, O_RDONLY)));
	say("empty name %s", answer(open("", O_RDONLY)));
	say("read from a write-only one %s", answer(read(open("plain", O_WRONLY), name, 1)));
	say("read of a folder %s", answer(read(open(".", O_RDONLY), name, 1)));
	say("seek before the start %s", answer(lseek(open("plain", O_RDONLY), -1, SEEK_SET)));
	say("bad whence %s", answer(lseek(open("plain", O_RDONLY), 0, 99)));
	say("rename into itself %s", mkdir("in", 0755) == 0 ? answer(rename("in", "in/in")) : "");
	say("unlink a folder %s", answer(unlink("in")));
	say("no such call %s", answer(syscall(9999)));
	say("call -1 %s", answer(syscall(-1)));
}

CASE(files_fifo)
{
	char text[8] = "";
	pid_t pid;
	int fd;

	EXPECT(mkfifo("fifo", 0600) == 0);
	say("no reader: %s", answer(open("fifo", O_WRONLY | O_NONBLOCK)));
	pid = split();
	if (pid == 0) {
		fd = open("fifo", O_WRONLY);
		EXPECT(write(fd, "through", 7) == 7);
		finish();
	}
	fd = open("fifo", O_RDONLY);
	EXPECT(read(fd, text, 7) == 7);
	say("%s", text);
	say("writer %s", fate(reap(pid)));
	say("end %s", answer(read(fd, text, 1)));
}

CASE(files_terminal)
{
	struct winsize size = { 40, 100, 0, 0 };
	struct termios mode;
	char name[64], text[32] = "";
	int master = posix_openpt(O_RDWR | O_NOCTTY), terminal;

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, name, sizeof(name))) {
		say("no pseudo terminal: %s", errno_name(errno));
		return;
	}
	terminal = open(name, O_RDWR | O_NOCTTY);
	if (terminal < 0) {
		say("no /dev/pts");
		return;
	}
	EXPECT(ioctl(master, TIOCSWINSZ, &size) == 0);
	size.ws_row = 0;
	EXPECT(ioctl(terminal, TIOCGWINSZ, &size) == 0);
	say("terminal %d", isatty(terminal));
	say("rows %d", size.ws_row);
	say("pipe is none: %s", answer(tcgetattr(3000, &mode)));
	EXPECT(write(master, "line\n", 5) == 5);
	EXPECT(read(terminal, text, sizeof(text)) == 5);
	EXPECT(tcgetattr(terminal, &mode) == 0);
	mode.c_lflag &= ~(ICANON | ECHO);
	EXPECT(tcsetattr(terminal, TCSANOW, &mode) == 0);
	EXPECT(write(master, "r", 1) == 1 && read(terminal, text, sizeof(text)) == 1);
	say("raw %c", text[0]);
}

CASE(files_devices)
{
	char buffer[64];
	int zero = open("/dev/zero", O_RDWR), full = open("/dev/full", O_RDWR), null = open("/dev/null", O_RDWR);

	memset(buffer, 1, sizeof(buffer));
	EXPECT(read(zero, buffer, sizeof(buffer)) == sizeof(buffer) && buffer[63] == 0);
	say("full %s", answer(write(full, "x", 1)));
	say("null %s", answer(write(null, "x", 1)));
	say("read null %s", answer(read(null, buffer, 1)));
	EXPECT(read(open("/dev/urandom", O_RDONLY), buffer, sizeof(buffer)) == sizeof(buffer));
	say("not a terminal %s", answer(ioctl(null, TCGETS, buffer)));
}

CASE(files_large)
{
	size_t size = 4 << 20;
	char *out = malloc(size), *in = malloc(size);
	int fd = scratch("big", "", 0);
	size_t done = 0;

	fill(out, size, 1);
	EXPECT(write(fd, out, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
	while (done < size) {
		ssize_t got = read(fd, in + done, 70001);

		REQUIRE(got > 0);
		done += got;
	}
	say("equal %d", memcmp(in, out, size) == 0);
	EXPECT(fsync(fd) == 0 && fdatasync(fd) == 0 && syncfs(fd) == 0);
}

CASE(files_direct)
{
	static char in_bss[8192] __attribute__((aligned(4096)));
	static char in_data[8192] __attribute__((aligned(4096))) = "x";
	char *mapped = pages(2);
	int fd = open("/dev/vda", O_RDWR | O_DIRECT);
	int disk = fd >= 0;

	if (!disk)
		fd = open("direct", O_RDWR | O_CREAT | O_DIRECT, 0600);
	say("%s", disk ? "disk" : "no disk");
	REQUIRE(fd >= 0);
	fill(in_data, 8192, 5);
	EXPECT(pwrite(fd, in_data, 8192, 0) == 8192);
	EXPECT(pread(fd, in_bss, 8192, 0) == 8192 && filled(in_bss, 8192, 5));
	EXPECT(pread(fd, mapped, 4096, 4096) == 4096 && memcmp(mapped, in_data + 4096, 4096) == 0);
	EXPECT(pwrite(fd, in_bss + 4096, 4096, 0) == 4096 && pread(fd, mapped, 4096, 0) == 4096);
	say("swapped %d", memcmp(mapped, in_data + 4096, 4096) == 0);
	say("to a kernel address %s", answer(pread(fd, (void *)0xffffffff81000000UL, 4096, 0)));
}

FAMILY(files, T(files_read_write), T(files_append_truncate), T(files_links), T(files_folders), T(files_modes),
       T(files_times), T(files_sparse), T(files_record_locks), T(files_flock), T(files_descriptors),
       T(files_descriptors_over_exec), T(files_vectors), T(files_statx_openat2), T(files_unnamed),
       T(files_stdio), T(files_errors), T(files_fifo), T(files_terminal), T(files_devices), T(files_large),
       T(files_direct));
