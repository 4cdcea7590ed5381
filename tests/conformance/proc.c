/* What /proc and the tools that read it say about the program. */
#include "suite.h"
#include <dirent.h>
#include <elf.h>
#include <libgen.h>
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

static char text[65536];

static ssize_t slurp(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = 0, got;

	if (fd < 0) {
		say("failed: %s: %s", path, errno_name(errno));
		return -1;
	}
	while ((got = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
		size += got;
	close(fd);
	text[size] = 0;
	return size;
}

static int data_word = 1, bss_word;
static const int ro_word = 2;

CASE(proc_maps)
{
	const void *places[] = { &data_word, &bss_word, &ro_word, text, places };
	static const char *const names[] = { "data", "bss", "rodata", "large bss", "stack" };
	static const char *const rights[] = { "rw-p", "rw-p", "r--p", "rw-p", "rw-p" };
	unsigned long start, end, last = 0;
	char flags[8], name[128];
	int sorted = 1, found[5] = { 0 };

	slurp("/proc/self/maps");
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		name[0] = 0;
		EXPECT(sscanf(line, "%lx-%lx %7s %*s %*s %*s %127s", &start, &end, flags, name) >= 3);
		sorted &= start >= last && end > start;
		last = end;
		for (int i = 0; i < 5; i++)
			if ((uintptr_t)places[i] >= start && (uintptr_t)places[i] < end)
				found[i] = strcmp(flags, rights[i]) == 0 ? 1 : 2;
		if (strcmp(name, "[stack]") == 0)
			found[4] += (uintptr_t)places[4] >= start && (uintptr_t)places[4] < end ? 10 : 0;
	}
	say("sorted %d", sorted);
	for (int i = 0; i < 5; i++)
		say("%s %s", names[i], found[i] % 10 == 1 ? rights[i] : found[i] ? "other rights" : "missing");
	say("stack named %d", found[4] / 10);
}

CASE(proc_vdso)
{
	slurp("/proc/self/maps");
	say("in the maps %d, in the vector %d", strstr(text, "[vdso]") != NULL, getauxval(AT_SYSINFO_EHDR) != 0);
}

CASE(proc_names)
{
	char link[256] = "", *name = strdup(self);
	ssize_t size;

	EXPECT(readlink("/proc/self/exe", link, sizeof(link) - 1) > 0);
	say("exe is what was started %d", strcmp(link, (char *)getauxval(AT_EXECFN)) == 0);
	slurp("/proc/self/comm");
	say("comm is its name %d", strncmp(text, basename(name), strlen(basename(name))) == 0);
	size = slurp("/proc/self/cmdline");
	say("cmdline begins with it %d, ends with a zero %d", strcmp(text, called) == 0, text[size - 1] == 0);
	EXPECT(readlink("/proc/self/cwd", link, sizeof(link) - 1) > 0 && strncmp(link, "/tmp/guest-", 11) == 0);
}

/* The symbol of this program's file that is called @name, by its symbol table. */
static Elf64_Sym *own_symbol(const char *file, const char *name)
{
	const Elf64_Ehdr *head = (const void *)file;
	const Elf64_Shdr *sections = (const void *)(file + head->e_shoff);

	for (int i = 0; i < head->e_shnum; i++) {
		Elf64_Sym *symbol = (void *)(file + sections[i].sh_offset), *end = symbol + sections[i].sh_size / sizeof(*symbol);
		const char *names = file + sections[sections[i].sh_link].sh_offset;

		for (; sections[i].sh_type == SHT_SYMTAB && symbol < end; symbol++)
			if (strcmp(names + symbol->st_name, name) == 0)
				return symbol;
	}
	return NULL;
}

static _Thread_local int each_thread = 3;
int proc_marked_function(void);
__attribute__((noinline)) int proc_marked_function(void) { return data_word + each_thread; }

/* What a program reads in its own file: backtraces, build information, attached data. */
CASE(proc_own_file)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat status;
	const Elf64_Phdr *load;
	const Elf64_Ehdr *head;
	Elf64_Sym *symbol;
	char *file;
	int same = 0;

	REQUIRE(fd >= 0 && fstat(fd, &status) == 0);
	file = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	REQUIRE(file != MAP_FAILED);
	head = (void *)file;
	EXPECT(memcmp(head->e_ident, ELFMAG "\2\1\1", 7) == 0 && head->e_machine == EM_X86_64);
	say("type %d, entry %d", head->e_type, head->e_entry == getauxval(AT_ENTRY));
	say("headers %d", head->e_phnum == getauxval(AT_PHNUM) &&
	    memcmp(file + head->e_phoff, (void *)getauxval(AT_PHDR), head->e_phnum * sizeof(*load)) == 0);
	symbol = own_symbol(file, "proc_marked_function");
	REQUIRE(symbol);
	say("function %d", symbol->st_value == (uintptr_t)proc_marked_function && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC);
	load = (void *)(file + head->e_phoff);
	for (int i = 0; i < head->e_phnum; i++)
		if (load[i].p_type == PT_LOAD && symbol->st_value - load[i].p_vaddr < load[i].p_filesz)
			same = memcmp(file + load[i].p_offset + (symbol->st_value - load[i].p_vaddr),
				      (void *)proc_marked_function, symbol->st_size) == 0;
	say("its code %d", same);
	symbol = own_symbol(file, "called");
	say("variable %d", symbol && symbol->st_value == (uintptr_t)&called);
	say("writing to it %s", answer(open("/proc/self/exe", O_RDWR | O_CLOEXEC)));
}

static int in_segment(struct dl_phdr_info *info, int type, const void *at)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *segment = &info->dlpi_phdr[i];

		if (segment->p_type == (Elf64_Word)type && (uintptr_t)at - info->dlpi_addr - segment->p_vaddr < segment->p_memsz)
			return segment->p_flags;
	}
	return -1;
}

static int tell_object(struct dl_phdr_info *info, size_t size, void *count)
{
	++*(int *)count;
	say("size %zu, segments %d", size, info->dlpi_phnum > 3);
	say("this function %d", in_segment(info, PT_LOAD, (void *)tell_object) & (PF_X | PF_W));
	say("data %d, zeros %d", in_segment(info, PT_LOAD, &data_word), in_segment(info, PT_LOAD, &bss_word));
	say("constants %d", in_segment(info, PT_LOAD, &ro_word) & PF_W);
	for (int i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type == PT_TLS)
			say("thread-local data %d", info->dlpi_phdr[i].p_memsz >= sizeof(each_thread));
		if (info->dlpi_phdr[i].p_type == PT_GNU_STACK)
			say("stack %u", info->dlpi_phdr[i].p_flags);
	}
	return 0;
}

/* What unwinders ask. */
CASE(proc_program_headers)
{
	int count = 0;

	say("%d", dl_iterate_phdr(tell_object, &count));
	say("objects %d, and %d", count, proc_marked_function());
}

static const char *field(const char *name)
{
	static char value[4][64];
	static unsigned next;
	char *at = strstr(text, name), *into = value[next++ % 4];

	into[0] = 0;
	if (at)
		sscanf(at + strlen(name), ": %63[^\n]", into);
	return into;
}

static void *wait_a_while(void *unused)
{
	sleep_ms(200);
	return unused;
}

CASE(proc_status)
{
	pthread_t thread;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	signal(SIGUSR2, SIG_IGN);
	pthread_create(&thread, NULL, wait_a_while, NULL);
	slurp("/proc/self/status");
	say("state %s, threads %s", field("State"), field("Threads"));
	say("pid right %d, tracer %s", atoi(field("\nPid")) == getpid(), field("TracerPid"));
	say("uid %s, gid %s", field("Uid"), field("Gid"));
	say("memory %d", atoi(field("VmRSS")) > 50);
	say("blocked %s, pending %s, ignored %s", field("SigBlk"), field("ShdPnd"), field("SigIgn"));
	say("seccomp %s, no new privileges %s", field("Seccomp"), field("NoNewPrivs"));
	pthread_join(thread, NULL);
}

CASE(proc_stat)
{
	unsigned long code_start, code_end, stack, data_start, data_end, break_start;
	char state, *rest;
	int ppid, group;

	slurp("/proc/self/stat");
	rest = strrchr(text, ')');
	REQUIRE(rest);
	EXPECT(sscanf(rest + 2, "%c %d %d", &state, &ppid, &group) == 3);
	say("state %c, parent right %d, group right %d", state, ppid == getppid(), group == getpgrp());
	for (int i = 0; i < 24; i++)
		rest = strchr(rest + 1, ' ');
	EXPECT(sscanf(rest, "%lu %lu %lu", &code_start, &code_end, &stack) == 3);
	say("code holds this function %d", (uintptr_t)proc_stat >= code_start && (uintptr_t)proc_stat < code_end);
	say("stack start %d", stack > (uintptr_t)&state);
	for (int i = 0; i < 19; i++)
		rest = strchr(rest + 1, ' ');
	EXPECT(sscanf(rest, "%lu %lu %lu", &data_start, &data_end, &break_start) == 3);
	say("data holds its word %d", (uintptr_t)&data_word >= data_start && (uintptr_t)&data_word < data_end);
	say("break behind it %d", break_start >= data_end);
}

CASE(proc_own_memory)
{
	int fd = open("/proc/self/mem", O_RDWR), value = 0, five = 5;

	say("read data %s", answer(pread(fd, &value, 4, (long)&data_word)));
	say("value %d", value);
	say("write bss %s", answer(pwrite(fd, &five, 4, (long)&bss_word)));
	say("bss %d", *(volatile int *)&bss_word);
	say("write rodata %s", answer(pwrite(fd, &five, 4, (long)&ro_word)));
	say("rodata %d", *(volatile int *)&ro_word);
	say("nothing there %s", answer(pread(fd, &value, 4, 16)));
	say("kernel %s", answer(pread(fd, &value, 4, (long)0xffffffff81000000)));
}

CASE(proc_auxiliary_vector)
{
	const char *platform = (const char *)getauxval(AT_PLATFORM);
	unsigned char *random = (unsigned char *)getauxval(AT_RANDOM);
	int sum = 0;

	for (int i = 0; i < 16; i++)
		sum |= random[i];
	say("page %lu, ticks %lu, secure %lu", getauxval(AT_PAGESZ), getauxval(AT_CLKTCK), getauxval(AT_SECURE));
	say("uid %lu %lu gid %lu %lu", getauxval(AT_UID), getauxval(AT_EUID), getauxval(AT_GID), getauxval(AT_EGID));
	say("platform %s, random %d", platform ? platform : "(none)", sum != 0);
	say("file name is what was started %d", strcmp((char *)getauxval(AT_EXECFN), self) == 0);
	say("entry and headers %d %d, entry size %lu", getauxval(AT_ENTRY) != 0, getauxval(AT_PHDR) != 0, getauxval(AT_PHENT));
	say("capabilities %d, stack for signals %d", getauxval(AT_HWCAP) != 0, getauxval(AT_MINSIGSTKSZ) > 1000);
	say("size of the file in /proc is a multiple of 16: %d", slurp("/proc/self/auxv") % 16 == 0);
}

CASE(proc_files)
{
	static const char *const names[] = {
		"environ", "limits", "statm", "smaps", "smaps_rollup", "wchan", "io", "oom_score", "oom_score_adj",
		"syscall", "stack", "personality", "mountinfo", "sched", "schedstat", "pagemap", "numa_maps",
		"clear_refs", "timers", "coredump_filter", "loginuid", "cgroup", "net/tcp", "net/unix", "task",
	};
	char path[64];

	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(path, sizeof(path), "/proc/self/%s", names[i]);
		int fd = open(path, O_RDONLY);

		say("%s: %s", names[i], fd < 0 ? errno_name(errno) : read(fd, text, 4096) >= 0 ? "read" : errno_name(errno));
		close(fd);
	}
}

CASE(proc_of_a_child)
{
	char path[64], link[256] = "";
	pid_t pid = split();

	if (pid == 0) {
		prctl(PR_SET_NAME, "renamed");
		sleep_ms(100000);
	}
	sleep_ms(30);
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	slurp(path);
	say("%.12s", strchr(text, '('));
	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	slurp(path);
	say("in call %.4s", text);
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	EXPECT(readlink(path, link, sizeof(link) - 1) > 0);
	say("same program %d", strcmp(link, self) == 0);
	kill(pid, SIGKILL);
	reap(pid);
}

static volatile int arrivals;

static void arrived(int number)
{
	(void)number;
	arrivals++;
}

CASE(proc_tools)
{
	char command[512];

	if (access("/bin/busybox", X_OK) != 0) {
		say("failed: no busybox in the guest");
		return;
	}
	snprintf(command, sizeof(command),
		 "/bin/busybox ps -o pid,args | /bin/busybox grep -q \"^ *%d .*%s\" && echo ps sees it", getpid(), called);
	fflush(stdout);
	say("ps %s", fate(system(command)));
	snprintf(command, sizeof(command), "/bin/busybox top -b -n 1 | /bin/busybox grep -q '^ *%d '", getpid());
	say("top %s", fate(system(command)));
	snprintf(command, sizeof(command), "/bin/busybox kill -USR1 %d", getpid());
	handle(SIGUSR1, arrived, 0);
	say("kill %s, arrived %d", fate(system(command)), arrivals);
	EXPECT(arrivals == 1);
}

/* What the kernel says that the processor does for the program is what it does. */
CASE(proc_hardware)
{
	unsigned long more = getauxval(AT_HWCAP2), base;

	say("gs base instructions %lu", more >> 1 & 1);
	EXPECT(!app_mode() || !(more & 2));
	if (!(more & 2))
		return;
	__asm__ volatile("wrgsbase %1; rdgsbase %0" : "=r"(base) : "r"(0x123456000UL));
	EXPECT(base == 0x123456000);
}

FAMILY(proc, T(proc_maps), T(proc_vdso), T(proc_names), T(proc_own_file), T(proc_program_headers), T(proc_status), T(proc_stat), T(proc_own_memory),
       T(proc_auxiliary_vector), T(proc_files), T(proc_of_a_child), T(proc_tools), T(proc_hardware));
