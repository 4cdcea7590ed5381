/* Who may start the program in app mode, and what an unprivileged process can do to it. */
#include "suite.h"
#include <elf.h>
#include <grp.h>
#include <linux/capability.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>

#define NOBODY 65534
#define TRIGGER "/UKL"

static void become_nobody(void)
{
	EXPECT(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

/* Runs the trigger, whichever mode this is; what exec said when it came back. */
static void start_trigger(const char *path)
{
	errno = 0;
	execl(path, path, "role", "exit", "7", (char *)NULL);
	say("exec: %s", errno_name(errno));
}

/* After a refused exec the process must be an ordinary one: the same program, the same rights. */
static void still_ordinary(void)
{
	int fd[2];

	say("pid kept %d", getpid() > 1);
	say("write to the kernel %s", pipe(fd) == 0 ? answer(write(fd[1], (void *)0xffffffff81000000UL, 8)) : "");
	say("child %s", fate(in_child(NULL ? NULL : (void (*)(void))finish)));
}

static void as_nobody(void)
{
	become_nobody();
	start_trigger(TRIGGER);
	still_ordinary();
}

/* Writes a copy of the trigger with @size bytes from @bytes at @offset in their place. */
static int change_trigger(const char *name, mode_t mode, uid_t owner, long offset, const void *bytes, size_t size)
{
	int from = open(TRIGGER, O_RDONLY | O_CLOEXEC), to = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct stat status;
	int good;

	good = fstat(from, &status) == 0 && sendfile(to, from, NULL, status.st_size) == status.st_size;
	good = good && pwrite(to, bytes, size, offset) == (ssize_t)size;
	close(from);
	close(to);
	return good && chown(name, owner, owner) == 0 && chmod(name, mode) == 0 ? 0 : -1;
}

static int copy_trigger(const char *name, mode_t mode, uid_t owner)
{
	return change_trigger(name, mode, owner, 0, NULL, 0);
}

static void own_copy_as_nobody(void)
{
	become_nobody();
	start_trigger("./copy");
	still_ordinary();
}

CASE(privilege_unprivileged_exec)
{
	say("the trigger: %s", fate(in_child(as_nobody)));
	EXPECT(copy_trigger("copy", 0755, NOBODY) == 0);
	say("his own copy: %s", fate(in_child(own_copy_as_nobody)));
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };

	for (int i = 0; i < 41; i++)
		prctl(PR_CAPBSET_DROP, i);
	EXPECT(syscall(SYS_capset, &head, data) == 0);
	start_trigger("./copy");
	still_ordinary();
}

CASE(privilege_root_without_capabilities)
{
	EXPECT(copy_trigger("copy", 0755, 0) == 0);
	say("%s", fate(in_child(drop_capabilities)));
}

static void root_exec(void)
{
	start_trigger(TRIGGER);
}

static void root_no_new_privileges(void)
{
	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	start_trigger(TRIGGER);
}

static void nobody_no_new_privileges(void)
{
	become_nobody();
	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	start_trigger("./setuid");
}

static void not_executable(void)
{
	start_trigger("./plain");
}

CASE(privilege_allowed_exec)
{
	say("root: %s", fate(in_child(root_exec)));
	say("root, no new privileges: %s", fate(in_child(root_no_new_privileges)));
	EXPECT(copy_trigger("setuid", 04755, 0) == 0 && copy_trigger("plain", 0644, 0) == 0);
	say("nobody, setuid, no new privileges: %s", fate(in_child(nobody_no_new_privileges)));
	say("not executable: %s", fate(in_child(not_executable)));
}

static void setuid_copy(void)
{
	become_nobody();
	start_trigger("./setuid");
}

/* A set-user-id copy is root's decision, as with any program. */
CASE(privilege_setuid_copy)
{
	EXPECT(copy_trigger("setuid", 04755, 0) == 0);
	say("%s", fate(in_child(setuid_copy)));
}

static void start_liar(void)
{
	start_trigger("./liar");
}

/* The trigger with @bytes at @offset: what root gets who starts it. */
static void lie(const char *what, long offset, const void *bytes, size_t size)
{
	int status;

	EXPECT(change_trigger("liar", 0755, 0, offset, bytes, size) == 0);
	status = in_child(start_liar);
	say("%s: %s", what, fate(status));
	EXPECT(!WIFEXITED(status) || WEXITSTATUS(status) == 0);
	unlink("liar");
}

/* Only the file that describes the program as it is in the kernel leads there. */
CASE(privilege_liars)
{
	static const uint64_t kernel = 0xffffffff81000000, none, low = 0x400000;
	const long entry = offsetof(Elf64_Ehdr, e_entry), headers = sizeof(Elf64_Ehdr), one = sizeof(Elf64_Phdr);
	const uint16_t fewer = 2, more = 40, shared = ET_DYN;
	const uint32_t type = PT_LOAD, rights = PF_R | PF_W | PF_X;
	Elf64_Phdr segment;
	int fd = open(TRIGGER, O_RDONLY | O_CLOEXEC);

	lie("entry elsewhere in the kernel", entry, &kernel, 8);
	lie("entry at a user address", entry, &low, 8);
	lie("fewer headers", offsetof(Elf64_Ehdr, e_phnum), &fewer, 2);
	lie("more headers than there are", offsetof(Elf64_Ehdr, e_phnum), &more, 2);
	lie("another type", offsetof(Elf64_Ehdr, e_type), &shared, 2);
	for (int i = 0; i < 3; i++) {
		EXPECT(pread(fd, &segment, sizeof(segment), headers + i * one) == sizeof(segment));
		segment.p_memsz += PAGE;
		lie("a longer segment", headers + i * one, &segment, sizeof(segment));
		segment.p_memsz -= PAGE;
		segment.p_vaddr = kernel;
		lie("a segment in the kernel", headers + i * one, &segment, sizeof(segment));
		lie("other rights", headers + i * one + offsetof(Elf64_Phdr, p_flags), &rights, 4);
	}
	lie("one segment more", headers + 5 * one, &type, 4);
	/* Debuggers read where the sections are; the kernel does not. */
	EXPECT(change_trigger("liar", 0755, 0, offsetof(Elf64_Ehdr, e_shoff), &none, 8) == 0);
	say("no sections: %s", fate(in_child(start_liar)));
	close(fd);
}

static void drop_and_try(void)
{
	become_nobody();
	say("uid %d", getuid());
	say("back %s", answer(setuid(0)));
	say("root's file %s", answer(open("secret", O_RDONLY)));
	say("kill init %s", answer(kill(1, SIGTERM)));
	say("mount %s", answer(syscall(SYS_mount, "x", "/", "tmpfs", 0L, NULL)));
	say("reboot %s", answer(syscall(SYS_reboot, 0, 0, 0, NULL)));
	say("clock %s", answer(syscall(SYS_clock_settime, CLOCK_REALTIME, &(struct timespec){ 1, 0 })));
	say("port 80 %s", answer(syscall(SYS_iopl, 3)));
}

CASE(privilege_dropped)
{
	close(scratch("secret", "x", 1));
	EXPECT(chmod("secret", 0600) == 0);
	say("%s", fate(in_child(drop_and_try)));
}

static pid_t victim;
static void attack(void)
{
	char path[64];

	become_nobody();
	say("kill %s", answer(kill(victim, SIGKILL)));
	say("attach %s", answer(ptrace(PTRACE_ATTACH, victim, NULL, NULL)));
	snprintf(path, sizeof(path), "/proc/%d/mem", victim);
	say("mem %s", answer(open(path, O_RDWR)));
	snprintf(path, sizeof(path), "/proc/%d/maps", victim);
	say("maps %s", answer(open(path, O_RDONLY)));
	snprintf(path, sizeof(path), "/proc/%d/cmdline", victim);
	say("cmdline %s", open(path, O_RDONLY) >= 0 ? "readable" : errno_name(errno));
	say("priority %s", answer(syscall(SYS_setpriority, 0, victim, 5)));
	say("pidfd %s", answer(syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, victim, 0), 0, 0)));
}

CASE(privilege_attack_from_nobody)
{
	victim = split();
	if (victim == 0) {
		pause();
		_exit(0);
	}
	say("%s", fate(in_child(attack)));
	kill(victim, SIGTERM);
	say("victim %s", fate(reap(victim)));
}

static void attack_own(void)
{
	pid_t pid;

	become_nobody();
	EXPECT(prctl(PR_SET_DUMPABLE, 1) == 0);
	pid = split();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	say("attach %s", answer(ptrace(PTRACE_ATTACH, pid, NULL, NULL)));
	kill(pid, SIGKILL);
	reap(pid);
}

/* To control a process in app mode is to control the kernel: not for who could not start it. */
CASE(privilege_trace_own_without_capability)
{
	say("%s", fate(in_child(attack_own)));
}

CASE(privilege_capabilities)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	EXPECT(syscall(SYS_capget, &head, data) == 0);
	say("effective %d", data[0].effective != 0);
	say("bounding %d", prctl(PR_CAPBSET_READ, CAP_SYS_RAWIO));
	say("groups %s", answer(getgroups(0, NULL)));
	say("securebits %d", prctl(PR_GET_SECUREBITS));
	say("ids %s", answer(setresuid(1, 2, 3)));
	say("then %d %d", getuid(), geteuid());
}

FAMILY(privilege, T(privilege_unprivileged_exec), T(privilege_root_without_capabilities),
       T(privilege_allowed_exec), T(privilege_setuid_copy), T(privilege_liars), T(privilege_dropped), T(privilege_attack_from_nobody),
       T(privilege_trace_own_without_capability), T(privilege_capabilities));
