/*
 * What only a processor shows, and no emulation of one: `ukl test --hardware`. Elsewhere each case says why it cannot.
 * Both modes must give the same answer.
 */
#include "suite.h"
#include <cpuid.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <ucontext.h>

/* Says "skip" and why, when the processor is QEMU's. */
static int emulated(const char *why)
{
	unsigned a, name[4] = { 0 };

	__cpuid(0x40000000, a, name[0], name[1], name[2]);
	if (memcmp(name, "TCGTCGTCGTCG", 12) != 0)
		return 0;
	say("skip: the processor is emulated (TCG): %s", why);
	return 1;
}

static int lacks(const char *flag, const char *why)
{
	char command[100];

	snprintf(command, sizeof(command), "/bin/busybox grep -qw %s /proc/cpuinfo", flag);
	if (system(command) == 0)
		return 0;
	say("skip: this processor has no %s: %s", flag, why);
	return 1;
}

static volatile unsigned long go_to;
static void jump(int number, siginfo_t *info, void *context)
{
	ucontext_t *frame = context;

	(void)info;
	if (number == SIGSEGV) {
		handle(SIGSEGV, SIG_DFL, 0);
		return;
	}
	frame->uc_mcontext.gregs[REG_RIP] = go_to;
}

static void return_there(void)
{
	alternate_stack();
	handle_info(SIGUSR1, jump, 0);
	raise(SIGUSR1);
}

/* IRET to an address that is none faults inside of the kernel, with the kernel's stack and the program's registers. */
CASE(hardware_non_canonical_return)
{
	static const unsigned long places[] = { 0x800000000000, 0x8000000000000000, 0xffff7fffffffffff };

	if (emulated("it checks such an address after the return instead of in it"))
		return;
	for (size_t i = 0; i < COUNT(places); i++) {
		int status;

		go_to = places[i];
		status = in_child(return_there);
		say("%s", fate(status));
		EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	}
}

static void read_clock_only(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { COUNT(filter), filter };
	struct timespec now;

	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
	for (int i = 0; i < 1000; i++)
		clock_gettime(CLOCK_MONOTONIC, &now);
}

/* The page that KVM fills in is read without a system call. */
CASE(hardware_kvm_clock)
{
	char name[32] = "";
	FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "r");

	if (file && !fgets(name, sizeof(name), file))
		name[0] = 0;
	if (file)
		fclose(file);
	name[strcspn(name, "\n")] = 0;
	if (strcmp(name, "kvm-clock") != 0) {
		say("skip: the clock source is `%s`, not kvm-clock, which only KVM offers", name);
		return;
	}
	say("%s", fate(in_child(read_clock_only)));
}

static void read_fs_base(void)
{
	unsigned long base, self_pointer;

	__asm__ volatile("rdfsbase %0" : "=r"(base));
	__asm__ volatile("mov %%fs:0, %0" : "=r"(self_pointer));
	EXPECT(base == self_pointer);
	__asm__ volatile("wrfsbase %0" :: "r"(base));
	sched_yield();
	__asm__ volatile("rdfsbase %0" : "=r"(base));
	EXPECT(base == self_pointer);
}

CASE(hardware_fs_base)
{
	if (lacks("fsgsbase", "its base registers cannot be read by instructions") || emulated("`registers_…` covers its FSGSBASE"))
		return;
	say("%s", fate(in_child(read_fs_base)));
}

static void lock_over_a_line(void)
{
	static char area[128] __attribute__((aligned(64)));

	__asm__ volatile("lock addl $1, %0" : "+m"(*(int *)(area + 62)) :: "memory");
}

/* Detected by a fault (#AC) or by a trap after it (#DB, bus locks), and then slowed down or killed: like the twin. */
CASE(hardware_split_lock)
{
	if (emulated("it detects no split locks") || lacks("split_lock_detect", "split locks are not detected"))
		return;
	say("%s", fate(in_child(lock_over_a_line)));
}

/* Entries of the translation cache that belong to another address space. */
CASE(hardware_pcid)
{
	static volatile int *word;
	int wrong = 0;
	pid_t pid;

	if (emulated("it has no translation cache that outlives a change of CR3") || lacks("pcid", "each switch empties the translation cache"))
		return;
	word = pages(1);
	*word = 1;
	pid = split();
	if (pid == 0) {
		for (int i = 0; i < 20000; i++) {
			*word = 2;
			sched_yield();
			wrong += *word != 2;
		}
		_exit(wrong != 0);
	}
	for (int i = 0; i < 20000; i++) {
		sched_yield();
		wrong += *word != 1;
	}
	say("wrong %d, child %s", wrong, fate(reap(pid)));
	EXPECT(wrong == 0);
}

FAMILY(hardware, T(hardware_non_canonical_return), T(hardware_kvm_clock), T(hardware_fs_base), T(hardware_split_lock),
       T(hardware_pcid));
