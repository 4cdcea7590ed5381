/* Limits, process properties, and the smaller calls that libraries rely on. */
#include "suite.h"
#include <linux/membarrier.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

static void set_limit(int which, rlim_t value)
{
	struct rlimit limit = { value, value };

	EXPECT(setrlimit(which, &limit) == 0);
}

CASE(limit_descriptors)
{
	int count = 0;

	set_limit(RLIMIT_NOFILE, 20);
	while (open("/dev/null", O_RDONLY) >= 0)
		count++;
	say("opened %d: %s", count > 10 && count < 20, errno_name(errno));
	say("dup2 above %s", answer(dup2(0, 20)));
	say("sysconf %ld", sysconf(_SC_OPEN_MAX));
}

static void write_too_much(void)
{
	int fd = scratch("grow", "", 0);
	char block[1000] = { 0 };

	set_limit(RLIMIT_FSIZE, 2500);
	for (int i = 0; i < 5; i++)
		write(fd, block, sizeof(block));
	say("still here");
}

CASE(limit_file_size)
{
	say("%s", fate(in_child(write_too_much)));
	signal(SIGXFSZ, SIG_IGN);
	int fd = scratch("grow", "", 0);
	char block[3000] = { 0 };

	set_limit(RLIMIT_FSIZE, 2500);
	say("ignored %s", answer(write(fd, block, sizeof(block))));
	say("then %s", answer(write(fd, block, sizeof(block))));
}

static void compute_forever(void)
{
	struct rlimit limit = { 1, 2 };

	EXPECT(setrlimit(RLIMIT_CPU, &limit) == 0);
	for (;;)
		;
}

/* Needs that the program's own computing is accounted to it. */
CASE(limit_processor_time)
{
	say("%s", fate(in_child(compute_forever)));
}

static void grow_stack(void)
{
	volatile char space[2 << 20];

	set_limit(RLIMIT_STACK, 256 << 10);
	for (long i = sizeof(space) - 1; i >= 0; i -= 4096)
		space[i] = 1;
	say("still here");
}

CASE(limit_memory)
{
	say("stack %s", fate(in_child(grow_stack)));
	set_limit(RLIMIT_AS, 64 << 20);
	say("address space %s", mmap(NULL, 128 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
	    ? errno_name(errno) : "mapped");
	set_limit(RLIMIT_MEMLOCK, 4096);
	say("locked %s", answer(mlock(pages(4), 4 * PAGE)));
}

static void fork_too_often(void)
{
	EXPECT(setgid(1234) == 0 && setuid(1234) == 0);
	set_limit(RLIMIT_NPROC, 1);
	say("fork %s", answer(fork()));
}

CASE(limit_processes)
{
	struct rlimit limit;

	say("%s", fate(in_child(fork_too_often)));
	EXPECT(prlimit(getpid(), RLIMIT_NPROC, NULL, &limit) == 0);
	say("bad kind %s", answer(prlimit(0, 99, NULL, &limit)));
	limit.rlim_cur = limit.rlim_max + 1;
	say("current above maximum %s", answer(setrlimit(RLIMIT_NPROC, &limit)));
}

CASE(limit_properties)
{
	say("dumpable %d", prctl(PR_GET_DUMPABLE));
	say("set %s", answer(prctl(PR_SET_DUMPABLE, 0)));
	say("then %d", prctl(PR_GET_DUMPABLE));
	say("keepcaps %d", prctl(PR_GET_KEEPCAPS));
	say("no new privileges %d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	say("timer slack %d", prctl(PR_GET_TIMERSLACK));
	say("thp %s", answer(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)));
	say("bad %s", answer(prctl(99999, 0)));
	say("vma name %s", answer(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, pages(1), PAGE, "a name")));
	say("personality %x, set %d", personality(0xffffffff), personality(ADDR_NO_RANDOMIZE));
	say("then %x", personality(0xffffffff));
}

static volatile sig_atomic_t refused;
static void refuse(int number, siginfo_t *info, void *context)
{
	(void)info, (void)context;
	refused = number;
	prctl(PR_SET_TSC, PR_TSC_ENABLE);
}

/* The time stamp counter can be forbidden to ring 3 only. */
CASE(limit_time_stamp)
{
	handle_info(SIGSEGV, refuse, 0);
	say("forbid %s", answer(prctl(PR_SET_TSC, PR_TSC_SIGSEGV)));
	__asm__ volatile("rdtsc" ::: "rax", "rdx");
	say("signal %d", (int)refused);
}

static struct rseq own_rseq __attribute__((aligned(32)));

CASE(limit_rseq)
{
	EXPECT(syscall(SYS_rseq, &own_rseq, sizeof(own_rseq), 0, 0x53053053) == 0);
	say("registered, cpu %d", own_rseq.cpu_id < 64);
	say("again %s", answer(syscall(SYS_rseq, &own_rseq, sizeof(own_rseq), 0, 0x53053053)));
	sleep_ms(5);
	say("cpu still %d", own_rseq.cpu_id < 64);
	say("bad flag %s", answer(syscall(SYS_rseq, &own_rseq, sizeof(own_rseq), 8, 0x53053053)));
	say("bad pointer %s", answer(syscall(SYS_rseq, 0xffffffff81000000, sizeof(own_rseq), 0, 0x53053053)));
	say("unregister %s", answer(syscall(SYS_rseq, &own_rseq, sizeof(own_rseq), 1, 0x53053053)));
}

/* Runs a critical section until it is aborted; the kernel must move the program to the abort handler. */
long rseq_spin(struct rseq *area, volatile long *aborts);
__asm__(".text\n.globl rseq_spin\nrseq_spin:\n"
	" lea rseq_section(%rip), %rax\n mov %rax, 8(%rdi)\n"
	"1: mov $100000000, %ecx\n2: dec %ecx\n jnz 2b\n3: xor %eax, %eax\n ret\n"
	".long 0x53053053\n4: mov $1, %eax\n ret\n"
	".data\n.balign 32\nrseq_section: .long 0, 0\n .quad 1b, 3b-1b, 4b\n.text\n");

static void critical_section(void)
{
	long result = 0;

	EXPECT(syscall(SYS_rseq, &own_rseq, sizeof(own_rseq), 0, 0x53053053) == 0);
	for (int i = 0; i < 50 && result == 0; i++)
		result = rseq_spin(&own_rseq, NULL);
	say("aborted %ld", result);
}

CASE(limit_rseq_critical_section)
{
	pid_t rival = split();

	if (rival == 0)
		for (;;)
			;
	say("%s", fate(in_child(critical_section)));
	kill(rival, SIGKILL);
	reap(rival);
}

CASE(limit_membarrier)
{
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	say("commands %lx", commands);
	say("unregistered %s", answer(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0)));
	say("register %s", answer(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0)));
	say("private %s", answer(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0)));
	say("register core %s", answer(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0)));
	say("core %s", answer(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0)));
	say("global %s", answer(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0)));
	say("bad %s", answer(syscall(SYS_membarrier, 1 << 30, 0, 0)));
}

CASE(limit_random)
{
	unsigned char one[64] = { 0 }, two[64] = { 0 };

	EXPECT(getrandom(one, 64, 0) == 64 && getrandom(two, 64, GRND_NONBLOCK) == 64);
	say("differ %d", memcmp(one, two, 64) != 0);
	say("bad flag %s", answer(getrandom(one, 1, 999)));
	EXPECT(getentropy(one, 64) == 0);
	say("too much %s", answer(getentropy(one, 300)));
}

CASE(limit_system_facts)
{
	struct utsname names;
	struct sysinfo facts;

	EXPECT(uname(&names) == 0 && sysinfo(&facts) == 0);
	say("%s %s %.2s", names.sysname, names.machine, names.release);
	say("memory %d, processes %d", facts.totalram > 1 << 20, facts.procs > 0);
	say("processors %d, page %ld", sysconf(_SC_NPROCESSORS_ONLN) > 0, sysconf(_SC_PAGESIZE));
	EXPECT(sethostname("guest", 5) == 0 && uname(&names) == 0);
	say("%s", names.nodename);
	say("ioprio %s", answer(syscall(SYS_ioprio_get, 1, 0)));
	say("getcpu %s", answer(syscall(SYS_getcpu, &(unsigned){ 0 }, NULL, NULL)));
}

CASE(limit_absent_calls)
{
	static const int calls[] = { SYS_userfaultfd, SYS_bpf, SYS_perf_event_open, SYS_kexec_load, SYS_add_key,
		SYS_landlock_create_ruleset, SYS_fanotify_init, SYS_kcmp, SYS_modify_ldt, SYS_unshare, 156, 174 };

	for (size_t i = 0; i < COUNT(calls); i++)
		say("%d: %s", calls[i], syscall(calls[i], -1, -1, -1, -1, -1, -1) < 0 ? errno_name(errno) : "done");
}

FAMILY(limit, T(limit_descriptors), T(limit_file_size), T(limit_processor_time), T(limit_memory),
       T(limit_processes), T(limit_properties), T(limit_time_stamp), T(limit_rseq),
       T(limit_rseq_critical_section), T(limit_membarrier), T(limit_random), T(limit_system_facts),
       T(limit_absent_calls));
