/* Processes: copy-on-write globals, vfork and exec, popen, and this very program again and again. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int initialised = 1000;
static int zeroed[2000];
static __thread int local = 5;

static void copy_on_write(void)
{
	int status;
	pid_t child = fork();

	if (!child) {
		initialised++;
		zeroed[1999] = 1;
		local = 6;
		_exit(initialised == 1001 && zeroed[1999] == 1 && local == 6 ? 3 : 4);
	}
	waitpid(child, &status, 0);
	printf("child changed its own copy: %d; ours: %d %d %d\n", WEXITSTATUS(status), initialised, zeroed[1999], local);
}

static void fork_family(void)
{
	int status, depth = 0, sum = 0;

	/* Each generation waits for the next; the last one is five deep. */
	while (depth < 5) {
		pid_t child = fork();
		if (child) {
			waitpid(child, &status, 0);
			sum = WEXITSTATUS(status);
			break;
		}
		depth++;
	}
	if (depth)
		_exit(depth + sum);
	printf("five generations: %d\n", sum);
}

static void exec_ring3(void)
{
	int status;
	pid_t child = vfork();

	if (!child) {
		execl("/bin/sh", "sh", "-c", "echo said by a shell; exit 5", (char *)0);
		_exit(127);
	}
	waitpid(child, &status, 0);
	printf("vfork and exec: %d\n", WEXITSTATUS(status));
	child = vfork();
	if (!child) {
		execl("/no/such/program", "none", (char *)0);
		_exit(errno == ENOENT ? 6 : 7);
	}
	waitpid(child, &status, 0);
	printf("exec of nothing: %d\n", WEXITSTATUS(status));
}

static void through_pipes(void)
{
	char line[100] = "";
	FILE *from = popen("echo $((6 * 7)) is the answer", "r");

	if (!from || !fgets(line, sizeof line, from))
		strcpy(line, "nothing\n");
	printf("popen reads: %s", line);
	printf("pclose: %d\n", from ? pclose(from) : -1);
	fflush(stdout);
	FILE *to = popen("read word; echo popen wrote: $word", "w");
	if (to)
		fprintf(to, "hello\n");
	printf("pclose: %d\n", to ? pclose(to) : -1);
	printf("system: %d\n", WEXITSTATUS(system("exit 9")));
}

/* Whatever started this program starts it again: the trigger, or the ring-3 executable. */
static pid_t again(int in, int out)
{
	static char self[] = "/proc/self/exe", word[] = "again";
	char *args[] = { self, word, 0 };
	posix_spawn_file_actions_t files;
	pid_t child = -1;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	if (posix_spawn(&child, self, &files, 0, args, environ))
		perror(self);
	posix_spawn_file_actions_destroy(&files);
	return child;
}

/* What the program does when we start it again: fresh globals, then wait for the others. */
static int be_again(void)
{
	char c = initialised == 1000 && zeroed[1999] == 0 && local == 5 ? 'f' : 's';

	initialised = zeroed[1999] = local = 77;
	if (write(1, &c, 1) != 1 || read(0, &c, 1) != 0)
		return 1;
	return initialised == 77 && zeroed[1999] == 77 && local == 77 ? 11 : 12;
}

/* `count` instances at once: each reports, then all live until we close their standard input. */
static void instances(int count)
{
	int in[2], out[2], status, fresh = 0, fine = 0;
	char c;

	if (pipe(in) || pipe(out))
		exit(1);
	fcntl(in[1], F_SETFD, FD_CLOEXEC);
	fcntl(out[0], F_SETFD, FD_CLOEXEC);
	for (int i = 0; i < count; i++)
		again(in[0], out[1]);
	close(in[0]);
	close(out[1]);
	for (int i = 0; i < count; i++)
		fresh += read(out[0], &c, 1) == 1 && c == 'f';
	close(in[1]);
	for (int i = 0; i < count; i++)
		fine += wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 11;
	close(out[0]);
	printf("%d at once: %d with fresh globals, %d ended well\n", count, fresh, fine);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "again"))
		return be_again();
	setvbuf(stdout, 0, _IOLBF, 0);
	copy_on_write();
	fork_family();
	exec_ring3();
	through_pipes();
	initialised = zeroed[1999] = local = 1;
	instances(1);
	instances(1);
	instances(3);
	return 0;
}
