/* Faults that must be served (stack, heap) and faults that must kill the one who did wrong. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned char data[64] = { 0xc3 }; /* ret, for those who jump here */
static const int constant = 1;

/* Called through these, so that the compiler cannot know what happens. */
static volatile int *volatile bad_address;
static void (*volatile bad_function)(void);

static void null_read(void)
{
	(void)*bad_address;
}

static void null_write(void)
{
	*bad_address = 1;
}

static void null_call(void)
{
	bad_function();
}

static void write_own_text(void)
{
	bad_address = (int *)(unsigned long)null_read;
	*bad_address = 0;
}

static void write_constant(void)
{
	bad_address = (int *)(unsigned long)&constant;
	*bad_address = 2;
}

static void jump_into_data(void)
{
	bad_function = (void (*)(void))(unsigned long)data;
	bad_function();
}

static void jump_into_heap(void)
{
	unsigned char *code = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	code[0] = 0xc3;
	bad_function = (void (*)(void))(unsigned long)code;
	bad_function();
}

static void jump_into_stack(void)
{
	volatile unsigned char code[16] = { 0xc3 };

	bad_function = (void (*)(void))(unsigned long)code;
	bad_function();
}

static void non_canonical_read(void)
{
	bad_address = (int *)0x8000000000000000;
	(void)*bad_address;
}

static void call_abort(void)
{
	abort();
}

static void undefined_instruction(void)
{
	__asm__ volatile("ud2");
}

static void run_out_of_stack(void)
{
	volatile char frame[4096];

	frame[0] = 1;
	bad_function = run_out_of_stack;
	bad_function();
	frame[1] = frame[0];
}

static void lose_the_stack(void)
{
	__asm__ volatile("xor %esp, %esp; push %rax");
}

static void expect_death(const char *name, void (*wrong)(void), int signal)
{
	int status;
	pid_t child = fork();

	if (!child) {
		wrong();
		_exit(0);
	}
	waitpid(child, &status, 0);
	if (!WIFSIGNALED(status))
		printf("%s: lived on\n", name);
	else if (WTERMSIG(status) != signal)
		printf("%s: died of signal %d\n", name, WTERMSIG(status));
	else
		printf("%s: %s\n", name, signal == SIGSEGV ? "SIGSEGV" : signal == SIGILL ? "SIGILL" : "SIGABRT");
}

/* Uses the stack `kib` KiB deep, one page-crossing frame after the other. */
static long descend(int kib)
{
	volatile char frame[64 * 1024];

	for (unsigned i = 0; i < sizeof frame; i += 4096)
		frame[i] = 1;
	return kib <= 64 ? frame[0] : frame[4096] + descend(kib - 64);
}

static long touch_heap(size_t bytes)
{
	long sum = 0;
	unsigned char *heap = malloc(bytes);

	if (!heap)
		return -1;
	for (size_t i = 0; i < bytes; i += 4096)
		heap[i] = 1;
	for (size_t i = 0; i < bytes; i += 4096)
		sum += heap[i] + heap[i + 1];
	free(heap);
	return sum;
}

int main(void)
{
	struct rlimit no_core = { 0, 0 }, stack;

	setvbuf(stdout, 0, _IOLBF, 0);
	setrlimit(RLIMIT_CORE, &no_core);

	expect_death("null read", null_read, SIGSEGV);
	expect_death("null write", null_write, SIGSEGV);
	expect_death("null call", null_call, SIGSEGV);
	expect_death("write to own text", write_own_text, SIGSEGV);
	expect_death("write to a constant", write_constant, SIGSEGV);
	expect_death("jump into data", jump_into_data, SIGSEGV);
	expect_death("jump into heap", jump_into_heap, SIGSEGV);
	expect_death("jump into stack", jump_into_stack, SIGSEGV);
	expect_death("non-canonical read", non_canonical_read, SIGSEGV);
	expect_death("undefined instruction", undefined_instruction, SIGILL);
	expect_death("abort", call_abort, SIGABRT);
	expect_death("stack overflow", run_out_of_stack, SIGSEGV);
	expect_death("lost stack", lose_the_stack, SIGSEGV);

	getrlimit(RLIMIT_STACK, &stack);
	stack.rlim_cur = 16 << 20;
	setrlimit(RLIMIT_STACK, &stack);
	printf("stack: %ld frames of 64 KiB\n", descend(8192));
	printf("heap: %ld pages\n", touch_heap(256UL << 20));
	printf("alive\n");
	return 0;
}
