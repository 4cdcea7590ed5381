/* Executing: this program, ordinary programs, scripts, and what cannot be executed. */
#include "suite.h"
#include <sys/ptrace.h>
#include <sys/user.h>
#include <spawn.h>
#include <sys/resource.h>

extern char **environ;

static int have_shell(void)
{
	if (access("/bin/sh", X_OK) == 0)
		return 1;
	say("failed: no /bin/sh in the guest");
	return 0;
}

CASE(spawn_system)
{
	if (!have_shell())
		return;
	say("%s", fate(system("echo from the shell; exit 3")));
	say("%s", fate(system("exec kill -9 $$")));
	say("%s", fate(system("a=0; for i in 1 2 3 4 5; do a=$((a + i)); done; exit $a")));
	say("shell there %d", system(NULL) != 0);
}

CASE(spawn_popen)
{
	char line[64] = "";
	FILE *file;

	if (!have_shell())
		return;
	file = popen("echo one; echo two; exit 5", "r");
	REQUIRE(file && fgets(line, sizeof(line), file));
	say("%.3s", line);
	EXPECT(fgets(line, sizeof(line), file));
	say("%.3s", line);
	say("%s", fate(pclose(file)));
	file = popen("read word; exit ${#word}", "w");
	REQUIRE(file);
	fputs("fourteen bytes\n", file);
	say("%s", fate(pclose(file)));
}

CASE(spawn_posix)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char *const arguments[] = { (char *)self, "role", "echo", "redirected", NULL };
	char text[32] = "";
	sigset_t set;
	pid_t pid;
	int fd, result;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "out", O_WRONLY | O_CREAT, 0600);
	posix_spawn_file_actions_addclose(&actions, 0);
	posix_spawnattr_init(&attributes);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attributes, &set);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	result = posix_spawn(&pid, self, &actions, &attributes, arguments, environ);
	say("spawn %d", result);
	say("%s", fate(reap(pid)));
	fd = open("out", O_RDONLY);
	EXPECT(read(fd, text, sizeof(text)) > 0);
	say("%s", strtok(text, "\n"));
	say("absent %s", errno_name(posix_spawn(&pid, "/absent", NULL, NULL, arguments, environ)));
	if (have_shell()) {
		char *const shell[] = { "sh", "-c", "exit 6", NULL };

		result = posix_spawnp(&pid, "sh", NULL, NULL, shell, (char *[]){ "PATH=/bin", NULL });
		if (result == 0)
			say("shell %s", fate(reap(pid)));
		else
			say("shell %s", errno_name(result));
	}
}

CASE(spawn_script)
{
	static const char shell_script[] = "#!/bin/sh\necho script $1\nexit 8\n";
	char own_script[256];
	pid_t pid;

	snprintf(own_script, sizeof(own_script), "#!%s role\n", self);
	close(scratch("own", own_script, strlen(own_script)));
	close(scratch("shell", shell_script, strlen(shell_script)));
	chmod("own", 0755);
	chmod("shell", 0755);
	pid = split();
	if (pid == 0) {
		execl("./shell", "shell", "word", (char *)NULL);
		_exit(97);
	}
	say("shell script %s", fate(reap(pid)));
	/* The role's name is the script's path: there is none of that name. */
	pid = split();
	if (pid == 0) {
		execl("./own", "own", (char *)NULL);
		_exit(97);
	}
	say("script of this program %s", fate(reap(pid)));
}

CASE(spawn_errors)
{
	char *const arguments[] = { "x", NULL };

	close(scratch("plain", "no program", 10));
	chmod("plain", 0755);
	close(scratch("locked", "#!/bin/sh\n", 10));
	close(scratch("broken", "#!/absent\n", 10));
	chmod("broken", 0755);
	close(scratch("elf", "\177ELF\2\1\1", 7));
	chmod("elf", 0755);
	say("no format %s", answer(execv("plain", arguments)));
	say("not executable %s", answer(execv("locked", arguments)));
	say("no interpreter %s", answer(execv("broken", arguments)));
	say("truncated %s", answer(execv("elf", arguments)));
	say("folder %s", answer(execv("/tmp", arguments)));
	say("absent %s", answer(execv("absent", arguments)));
	say("being written %s", open("plain", O_RDWR) >= 0 ? answer(execv("plain", arguments)) : "");
	/* Still the same program with the same data. */
	say("alive");
}

CASE(spawn_by_descriptor)
{
	int fd = open(self, O_RDONLY | O_CLOEXEC);
	char *const arguments[] = { (char *)self, "role", "exit", "12", NULL };
	pid_t pid = split();

	if (pid == 0) {
		fexecve(fd, arguments, environ);
		_exit(97);
	}
	say("fexecve %s", fate(reap(pid)));
	pid = split();
	if (pid == 0) {
		syscall(SYS_execveat, fd, "", arguments, environ, AT_EMPTY_PATH);
		_exit(97);
	}
	say("execveat %s", fate(reap(pid)));
	pid = split();
	if (pid == 0) {
		execl("/proc/self/exe", self, "role", "exit", "13", (char *)NULL);
		_exit(97);
	}
	say("/proc/self/exe %s", fate(reap(pid)));
}

CASE(spawn_environment)
{
	static const char *const list[] = { "GIVEN=a value", "B=", NULL };
	pid_t pid = split();

	if (pid == 0) {
		execle(self, self, "role", "environment", "GIVEN", (char *)NULL, list);
		_exit(97);
	}
	say("%s", fate(reap(pid)));
	setenv("SET_HERE", "yes", 1);
	unsetenv("HOME");
	clearenv();
	putenv("ONLY=this one");
	say("%s", fate(run_self("environment", "ONLY")));
	pid = split();
	if (pid == 0) {
		/* No arguments at all: Linux gives the new program an empty one. */
		syscall(SYS_execve, self, NULL, NULL);
		_exit(97);
	}
	say("no arguments: %s", fate(reap(pid)));
}

CASE(spawn_large_arguments)
{
	char *large = malloc(200000), **many = malloc(3001 * sizeof(char *));
	pid_t pid;

	memset(large, 'a', 199999);
	large[100000] = 0;
	say("%s", fate(run_self("length", large)));
	large[100000] = 'a';
	large[199999] = 0;
	pid = split();
	if (pid == 0) {
		execl(self, self, "role", "length", large, (char *)NULL);
		_exit(errno == E2BIG ? 50 : 51);
	}
	say("too large: %s", fate(reap(pid)));
	many[0] = (char *)self;
	many[1] = "role";
	many[2] = "exit";
	many[3] = "33";
	for (int i = 4; i < 3000; i++)
		many[i] = "an argument of some length, many times over";
	many[3000] = NULL;
	pid = split();
	if (pid == 0) {
		execv(self, many);
		_exit(97);
	}
	say("many: %s", fate(reap(pid)));
}

CASE(spawn_signals_over_exec)
{
	sigset_t set;
	pid_t pid = split();

	if (pid == 0) {
		signal(SIGUSR1, SIG_IGN);
		handle(SIGUSR2, (void (*)(int))exit, 0);
		sigemptyset(&set);
		sigaddset(&set, SIGHUP);
		sigprocmask(SIG_BLOCK, &set, NULL);
		execl(self, self, "role", "signals", (char *)NULL);
		_exit(97);
	}
	say("%s", fate(reap(pid)));
}

CASE(spawn_instances)
{
	pid_t list[5];
	int sum = 0;

	for (int i = 0; i < 5; i++) {
		list[i] = split();
		if (list[i] == 0) {
			execl(self, self, "role", "sleep", "80", (char *)NULL);
			_exit(97);
		}
	}
	for (int i = 0; i < 5; i++) {
		int status = reap(list[i]);

		sum += WIFEXITED(status) ? WEXITSTATUS(status) : 100;
	}
	say("sum %d", sum);
	say("died in its role: %s", fate(run_self("signal", "15")));
}

CASE(spawn_back_and_forth)
{
	char command[256];

	if (!have_shell())
		return;
	snprintf(command, sizeof(command), "%s role echo below; %s role exit 3 || %s role exit 4", self, self, self);
	say("%s", fate(system(command)));
	snprintf(command, sizeof(command), "%s role echo piped | (read a; echo got $a)", self);
	say("%s", fate(system(command)));
}

/* Nothing of the old program's is left in the registers. */
CASE(spawn_clean_registers)
{
	struct user_regs_struct regs;
	char *arguments[] = { (char *)self, "role", "exit", "4", NULL };
	pid_t pid = split();
	int status;

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		__asm__ volatile("mov $0x5ec4e7, %%rbx; mov %%rbx, %%r8; mov %%rbx, %%r9; mov %%rbx, %%r10; mov %%rbx, %%r12;"
				 "mov %%rbx, %%r13; mov %%rbx, %%r14; mov %%rbx, %%r15; syscall"
				 :: "a"(SYS_execve), "D"(self), "S"(arguments), "d"(environ)
				 : "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory");
		_exit(97);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	EXPECT(ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0);
	say("ax %lx bx %lx cx %lx dx %lx", (long)regs.rax, (long)regs.rbx, (long)regs.rcx, (long)regs.rdx);
	say("si %lx di %lx bp %lx r8 %lx", (long)regs.rsi, (long)regs.rdi, (long)regs.rbp, (long)regs.r8);
	say("r9 %lx r10 %lx r11 %lx r12 %lx", (long)regs.r9, (long)regs.r10, (long)regs.r11, (long)regs.r12);
	say("r13 %lx r14 %lx r15 %lx", (long)regs.r13, (long)regs.r14, (long)regs.r15);
	ptrace(PTRACE_CONT, pid, NULL, NULL);
	say("%s", fate(reap(pid)));
}

FAMILY(spawn, T(spawn_system), T(spawn_popen), T(spawn_posix), T(spawn_script), T(spawn_errors),
       T(spawn_by_descriptor), T(spawn_environment), T(spawn_large_arguments), T(spawn_signals_over_exec),
       T(spawn_instances), T(spawn_back_and_forth),
       T(spawn_clean_registers));
