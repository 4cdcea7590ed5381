/* Mappings: made, changed, shared, and what a wrong access to them gives. */
#include "suite.h"
#include <sys/shm.h>
#include <setjmp.h>
#include <sys/resource.h>

static sigjmp_buf back;
static volatile int fault_signal, fault_code;
static void *volatile fault_at;

static void caught(int number, siginfo_t *info, void *context)
{
	(void)context;
	fault_signal = number;
	fault_code = info->si_code;
	fault_at = info->si_addr;
	siglongjmp(back, 1);
}

/* Touches @at: "read", "write" or the signal that it gave. */
static const char *touch(volatile char *at, int writing)
{
	static char text[4][48];
	static unsigned next;
	char *volatile line = text[next++ % 4];

	handle_info(SIGSEGV, caught, 0);
	handle_info(SIGBUS, caught, 0);
	if (sigsetjmp(back, 1) == 0) {
		char value = *at;

		if (writing)
			*at = value;
		return writing ? "written" : "read";
	}
	snprintf(line, sizeof(text[0]), "signal %d code %d %s", fault_signal, fault_code,
		 fault_at == at ? "there" : "elsewhere");
	return line;
}

CASE(memory_protect)
{
	char *at = pages(3);

	at[PAGE] = 7;
	say("map: %s", touch(at + PAGE, 1));
	EXPECT(mprotect(at + PAGE, PAGE, PROT_READ) == 0);
	say("read only: %s", touch(at + PAGE, 0));
	say("%s", touch(at + PAGE, 1));
	EXPECT(mprotect(at + PAGE, PAGE, PROT_NONE) == 0);
	say("none: %s", touch(at + PAGE, 0));
	EXPECT(mprotect(at + PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
	say("back: %s", touch(at + PAGE, 1));
	say("value %d", at[PAGE]);
	EXPECT(munmap(at + PAGE, PAGE) == 0);
	say("gone: %s", touch(at + PAGE, 0));
	say("neighbours %s %s", touch(at, 1), touch(at + 2 * PAGE, 1));
	say("mprotect over the hole %s", answer(mprotect(at, 3 * PAGE, PROT_READ)));
}

CASE(memory_errors)
{
	char *at = pages(2);

	say("zero length %s", mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno_name(errno) : "");
	say("no type %s", mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno_name(errno) : "");
	say("unaligned %s", mmap(at + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? errno_name(errno) : "");
	say("occupied %s", mmap(at, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED ? errno_name(errno) : "");
	say("page zero %s", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? errno_name(errno) : "mapped");
	say("in the kernel %s", mmap((void *)0xffffffff81000000UL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? errno_name(errno) : "mapped");
	say("munmap of the kernel %s", answer(munmap((void *)0xffffffff81000000UL, PAGE)));
	say("mprotect of the kernel %s", answer(mprotect((void *)0xffffffff81000000UL, PAGE, PROT_READ | PROT_WRITE)));
	say("madvise of the kernel %s", answer(madvise((void *)0xffffffff81000000UL, PAGE, MADV_DONTNEED)));
	say("mprotect unaligned %s", answer(mprotect(at + 1, PAGE, PROT_READ)));
	say("bad descriptor %s", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 4000, 0) == MAP_FAILED ? errno_name(errno) : "");
	say("too much %s", mmap(NULL, 1UL << 62, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno_name(errno) : "");
}

CASE(memory_file)
{
	char text[4096];
	int fd = scratch("file", "", 0);
	char *private, *shared;

	memset(text, 'a', sizeof(text));
	EXPECT(write(fd, text, sizeof(text)) == sizeof(text));
	private = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private[0] = 'p';
	shared[1] = 's';
	EXPECT(msync(shared, PAGE, MS_SYNC) == 0 && pread(fd, text, 3, 0) == 3);
	say("file %.3s, private %.3s", text, private);
	say("behind the end: %s", touch(shared + PAGE, 0));
	EXPECT(ftruncate(fd, 0) == 0);
	say("truncated: shared %s", touch(shared, 0));
	say("private copy %s", touch(private, 0));
	close(fd);
	fd = open("file", O_RDONLY);
	say("shared, writable, of a read-only file: %s",
	    mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? errno_name(errno) : "mapped");
}

CASE(memory_shared_with_child)
{
	volatile int *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	volatile int *private = (volatile int *)pages(1);
	pid_t pid;

	*shared = *private = 1;
	pid = split();
	if (pid == 0) {
		*shared = *private = 2;
		_exit(0);
	}
	say("%s", fate(reap(pid)));
	say("shared %d private %d", *shared, *private);
}

CASE(memory_remap)
{
	char *at = pages(4), *moved;

	fill(at, 4 * PAGE, 3);
	EXPECT(mremap(at, 4 * PAGE, 2 * PAGE, 0) == at);
	say("shrunk: %s", touch(at + 2 * PAGE, 0));
	moved = mremap(at, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
	EXPECT(moved != MAP_FAILED && filled(moved, 2 * PAGE, 3) && moved[63 * PAGE] == 0);
	at = pages(8);
	EXPECT(mremap(moved, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at && filled(at, 2 * PAGE, 3));
	say("old place: %s", touch(moved, 0));
	say("cannot grow: %s", mremap(at, PAGE, 1UL << 46, 0) == MAP_FAILED ? errno_name(errno) : "");
	say("not mapped: %s", mremap(moved, PAGE, 2 * PAGE, 0) == MAP_FAILED ? errno_name(errno) : "");
}

CASE(memory_advice)
{
	char *at = pages(4);
	unsigned char present[4];

	fill(at, 4 * PAGE, 1);
	EXPECT(madvise(at + PAGE, PAGE, MADV_DONTNEED) == 0);
	say("dropped %d, kept %d", at[PAGE] == 0, filled(at, PAGE, 1));
	EXPECT(madvise(at + PAGE, PAGE, MADV_DONTNEED) == 0 && mincore(at, 4 * PAGE, present) == 0);
	say("present %d%d%d%d", present[0] & 1, present[1] & 1, present[2] & 1, present[3] & 1);
	say("free %s", answer(madvise(at, PAGE, MADV_FREE)));
	say("willneed %s", answer(madvise(at, PAGE, MADV_WILLNEED)));
	say("dontfork %s", answer(madvise(at, PAGE, MADV_DONTFORK)));
	say("bad %s", answer(madvise(at, PAGE, 999)));
	say("populate %s", answer(madvise(at, 4 * PAGE, MADV_POPULATE_WRITE)));
}

CASE(memory_lock)
{
	char *at = pages(2);

	say("mlock %s", answer(mlock(at, 2 * PAGE)));
	say("munlock %s", answer(munlock(at, 2 * PAGE)));
	say("all %s %s", answer(mlockall(MCL_CURRENT | MCL_FUTURE)), answer(munlockall()));
	say("kernel %s", answer(mlock((void *)0xffffffff81000000UL, PAGE)));
	say("on fault %s", answer(syscall(SYS_mlock2, at, PAGE, 1)));
}

CASE(memory_break)
{
	char *start = sbrk(0), *at;

	at = sbrk(3 * PAGE);
	EXPECT(at != (void *)-1 || errno == ENOMEM);
	/* musl's sbrk moves nothing: the call itself does. */
	start = (char *)syscall(SYS_brk, 0);
	at = (char *)syscall(SYS_brk, start + 100000);
	EXPECT(at == start + 100000);
	say("grown: %s %s", touch(start + 5000, 1), touch(start + 99999, 1));
	EXPECT(syscall(SYS_brk, start) == (long)start);
	say("shrunk: %s", touch(start + 50000, 0));
	say("below the data refused %d", syscall(SYS_brk, 4096) == (long)start);
}

CASE(memory_grows_down)
{
	char *at = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *stack = mmap(at + 600 * 1024, PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);

	REQUIRE(stack != MAP_FAILED);
	say("page %s", touch(stack, 1));
	munmap(at, 64 * PAGE);
	say("below %s", touch(stack - PAGE, 1));
}

static int deep(int depth)
{
	volatile char frame[1024];

	frame[0] = depth;
	return depth == 0 ? 0 : deep(depth - 1) + (frame[0] == (char)depth);
}

CASE(memory_stack_growth)
{
	/* About 6 MB of the 8 that the limit allows. */
	say("depth %d", deep(5500));
}

CASE(memory_memfd)
{
	int fd = memfd_create("name", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	char *at;

	EXPECT(fd >= 0 && ftruncate(fd, PAGE) == 0);
	at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	say("mapped: %s", touch(at, 1));
	say("seal while mapped %s", answer(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)));
	munmap(at, PAGE);
	say("seal %s", answer(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK)));
	say("write %s", answer(write(fd, "x", 1)));
	say("grow %s", answer(ftruncate(fd, 2 * PAGE)));
	say("seals %s", answer(fcntl(fd, F_GET_SEALS)));
}

CASE(memory_fork_copies)
{
	size_t count = 200;
	volatile char *at = pages(count);
	int status;
	pid_t pid;

	for (size_t i = 0; i < count; i++)
		at[i * PAGE] = i;
	pid = split();
	if (pid == 0) {
		for (size_t i = 0; i < count; i++)
			at[i * PAGE]++;
		for (size_t i = 0; i < count; i++)
			EXPECT(at[i * PAGE] == (char)(i + 1));
		finish();
	}
	for (size_t i = 0; i < count; i++)
		EXPECT(at[i * PAGE] == (char)i);
	status = reap(pid);
	say("%s", fate(status));
}

CASE(memory_malloc)
{
	static void *list[500];
	unsigned random = 1;

	for (int round = 0; round < 20000; round++) {
		int slot = (random = random * 1103515245 + 12345) >> 8 & 511;
		size_t size = (random >> 3) % 20000 + 1;

		if (slot >= 500)
			continue;
		if (list[slot] && round % 3 == 0) {
			list[slot] = realloc(list[slot], size);
		} else {
			free(list[slot]);
			list[slot] = malloc(size);
		}
		REQUIRE(list[slot]);
		memset(list[slot], slot, size);
	}
	free(malloc(50 << 20));
	say("aligned %d", ((uintptr_t)aligned_alloc(4096, 8192) & 4095) == 0);
	say("too much %s", malloc(1UL << 60) ? "given" : errno_name(errno));
}

static const char *mapped(void *at)
{
	return at == MAP_FAILED ? errno_name(errno) : "mapped";
}

/* Code that a program makes at run time: privilege level 0 may not execute user pages. */
CASE(memory_run_code)
{
	static const unsigned char code[] = { 0xb8, 0x2a, 0, 0, 0, 0xc3 };
	char *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED) {
		say("refused: %s", errno_name(errno));
		EXPECT(app_mode() && errno == EACCES);
		return;
	}
	memcpy(at, code, sizeof(code));
	handle_info(SIGSEGV, caught, 0);
	if (sigsetjmp(back, 1) == 0)
		say("returned %d", ((int (*)(void))(void *)at)());
	else
		say("signal %d code %d %s", fault_signal, fault_code, fault_at == at ? "there" : "elsewhere");
}

/* It is refused where it is asked for, by whatever call: a program that makes code goes on without. */
CASE(memory_executable)
{
	int fd = scratch("code", "code", 4);
	int id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
	char *at = pages(1);

	say("anonymous %s", mapped(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
	say("file %s", mapped(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0)));
	say("shared %s", mapped(mmap(NULL, PAGE, PROT_EXEC, MAP_SHARED, fd, 0)));
	say("segment %s", mapped(shmat(id, NULL, SHM_EXEC)));
	say("made so %s", answer(mprotect(at, PAGE, PROT_READ | PROT_EXEC)));
	say("with a key %s", answer(syscall(SYS_pkey_mprotect, at, PAGE, PROT_READ | PROT_EXEC, -1)));
	EXPECT(mprotect(at, PAGE, PROT_READ | PROT_WRITE) == 0);
	*at = 1;
	say("data %s", mapped(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0)));
	shmctl(id, IPC_RMID, NULL);
}

/* The program's own text. */
CASE(memory_own_text)
{
	char *at = (char *)((uintptr_t)memory_own_text & ~(PAGE - 1));
	unsigned char present[1] = { 0 };

	say("mprotect %s", answer(mprotect(at, PAGE, PROT_READ | PROT_EXEC)));
	say("mlock %s", answer(mlock(at, PAGE)));
	say("munlock %s", answer(munlock(at, PAGE)));
	say("madvise %s", answer(madvise(at, PAGE, MADV_WILLNEED)));
	say("mincore %s, present %d", answer(mincore(at, PAGE, present)), present[0] & 1);
	say("msync %s", answer(msync(at, PAGE, MS_ASYNC)));
}

FAMILY(memory, T(memory_protect), T(memory_errors), T(memory_file), T(memory_shared_with_child), T(memory_remap),
       T(memory_advice), T(memory_lock), T(memory_break), T(memory_grows_down), T(memory_stack_growth),
       T(memory_memfd), T(memory_fork_copies), T(memory_malloc), T(memory_run_code), T(memory_executable),
       T(memory_own_text));

/* The program's own segments are mappings like any other. */
static char own_data[4 * 4096] __attribute__((aligned(4096))) = "initialised";
static char own_bss[4 * 4096] __attribute__((aligned(4096)));
static const char own_rodata[2 * 4096] __attribute__((aligned(4096))) = "constant";

CASE(globals_protect)
{
	strcpy(own_bss, "text");
	EXPECT(mprotect(own_data, PAGE, PROT_READ) == 0 && mprotect(own_bss + PAGE, PAGE, PROT_NONE) == 0);
	say("data: %s", touch(own_data, 0));
	say("%s", touch(own_data, 1));
	say("bss: %s", touch(own_bss, 1));
	say("%s", touch(own_bss + PAGE, 0));
	say("rodata: %s", touch((char *)own_rodata, 0));
	say("%s", touch((char *)own_rodata, 1));
	say("rodata made writable %s", answer(mprotect((char *)own_rodata, PAGE, PROT_READ | PROT_WRITE)));
	say("%s", touch((char *)own_rodata, 1));
	EXPECT(mprotect(own_data, PAGE, PROT_READ | PROT_WRITE) == 0);
	say("data again: %s", touch(own_data, 1));
}

CASE(globals_advise)
{
	unsigned char present[2];

	memset(own_bss, 1, sizeof(own_bss));
	EXPECT(madvise(own_bss + PAGE, PAGE, MADV_DONTNEED) == 0);
	say("bss dropped %d, kept %d", own_bss[PAGE], own_bss[0]);
	EXPECT(mlock(own_bss, sizeof(own_bss)) == 0 && munlock(own_bss, sizeof(own_bss)) == 0);
	say("mlock data %s", answer(mlock(own_data, sizeof(own_data))));
	EXPECT(mincore(own_data, 2 * PAGE, present) == 0);
	say("present %d%d", present[0] & 1, present[1] & 1);
}

/* In ring 3 the data of a file mapping comes back from the file. */
CASE(globals_advise_data)
{
	strcpy(own_data, "changed");
	EXPECT(madvise(own_data, PAGE, MADV_DONTNEED) == 0);
	say("%s", own_data);
}

static char large_data[64][PAGE] __attribute__((aligned(4096))) = { [40] = "in the middle", [41] = "behind" };

/* Data comes from the program's file page by page, when it is touched, and no page of it is copied before. */
CASE(globals_faulted_in)
{
	struct rusage before, after;
	int right = 0;

	EXPECT(getrusage(RUSAGE_SELF, &before) == 0);
	for (int i = 0; i < 64; i++)
		large_data[i][0]++;
	EXPECT(getrusage(RUSAGE_SELF, &after) == 0);
	right = after.ru_minflt - before.ru_minflt >= 64 && after.ru_minflt - before.ru_minflt <= 128;
	say("a fault for each page %d, %s, %s", right, large_data[40], large_data[41]);
	EXPECT(right);
}

/* What linkers define; `cargo test --test glibc` compares the list with the linker's own. */
extern char __executable_start[], __ehdr_start[], __etext[], _etext[], etext[], __tdata_start[], __preinit_array_start[],
	__preinit_array_end[], __init_array_start[], __init_array_end[], __fini_array_start[], __fini_array_end[],
	_edata[], edata[], __bss_start[], _end[], end[], __start_named[], __stop_named[];
extern char __start_nothing[] __attribute__((weak)), __stop_nothing[] __attribute__((weak));

static int named_first __attribute__((section("named"), used)) = 1, named_second __attribute__((section("named"), used)) = 2;

/* An address about whose object the compiler knows nothing. */
static uintptr_t at(const void *pointer)
{
	__asm__("" : "+r"(pointer));
	return (uintptr_t)pointer;
}

CASE(globals_bounds)
{
	static int zero;
	int bss = at(__bss_start) <= at(own_bss) && at(own_bss) < at(end);

	say("headers %.3s, first of all %d", __ehdr_start + 1, at(__executable_start) == at(__ehdr_start));
	say("rodata %d, data %d", at(own_rodata) > at(__ehdr_start), at(own_data) > at(own_rodata));
	say("text ends %d%d, behind this %d", at(__etext) == at(_etext), at(_etext) == at(etext),
	    at(etext) > at(globals_bounds));
	say("arrays %d%d%d", at(__preinit_array_end) >= at(__preinit_array_start),
	    at(__init_array_end) >= at(__init_array_start), at(__fini_array_end) >= at(__fini_array_start));
	say("data ends %d, behind it %d", at(_edata) == at(edata), at(own_data) < at(edata));
	say("zeros behind data %d, all %d%d", at(edata) <= at(__bss_start), bss, at(__bss_start) <= at(&zero));
	say("the end %d, in front of the heap %d", at(_end) == at(end), at(end) <= at(sbrk(0)));
	say("thread-local %d", at(__tdata_start) > at(__ehdr_start) && at(__tdata_start) < at(end));
	say("named %d: %d, %d, nothing %d", (int)(__stop_named - __start_named), named_first, named_second,
	    at(__start_nothing) == 0 && at(__stop_nothing) == 0);
	EXPECT(!memcmp(__ehdr_start, "\177ELF", 4) && __stop_named - __start_named == sizeof(int[2]));
	EXPECT(at(__start_named) == at(&named_first) || at(__start_named) == at(&named_second));
	EXPECT(bss && at(edata) <= at(__bss_start) && at(own_data) < at(edata) && at(etext) > at(globals_bounds));
}

CASE(globals_unmap)
{
	EXPECT(munmap(own_bss + PAGE, PAGE) == 0);
	say("hole: %s", touch(own_bss + PAGE, 0));
	say("beside: %s", touch(own_bss + 2 * PAGE, 1));
	EXPECT(mmap(own_bss + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	       own_bss + PAGE);
	say("filled: %s", touch(own_bss + PAGE, 1));
	EXPECT(mremap(own_bss + 2 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, pages(1)) != MAP_FAILED);
	say("moved away: %s", touch(own_bss + 2 * PAGE, 0));
}

CASE(globals_fork)
{
	static int counter = 5;
	pid_t pid = split();

	if (pid == 0) {
		counter = 6;
		own_bss[0] = 1;
		strcpy(own_data, "child");
		say("child %d %d %s", counter, own_bss[0], own_data);
		finish();
	}
	say("%s", fate(reap(pid)));
	say("parent %d %d %s", counter, own_bss[0], own_data);
}

CASE(globals_fresh_after_exec)
{
	for (int i = 0; i < 3; i++)
		say("%s", fate(run_self("fresh", "fresh")));
}

CASE(globals_shared_mapping)
{
	int fd = memfd_create("x", 0);

	EXPECT(ftruncate(fd, PAGE) == 0 && pwrite(fd, "from the file", 14, 0) == 14);
	EXPECT(mmap(own_data, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == own_data);
	say("%s", own_data);
	if (split() == 0) {
		strcpy(own_data, "from the child");
		_exit(0);
	}
	wait(NULL);
	say("%s", own_data);
}

FAMILY(globals, T(globals_protect), T(globals_advise), T(globals_advise_data), T(globals_faulted_in), T(globals_bounds),
       T(globals_unmap), T(globals_fork), T(globals_fresh_after_exec), T(globals_shared_mapping));
