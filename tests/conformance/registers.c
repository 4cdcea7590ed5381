/* Every register, kept over signals, system calls, switches and forks. */
#include "suite.h"
#include <pthread.h>
#include <sched.h>
#include <sys/time.h>
#include <xmmintrin.h>

/* Loads all registers from the patterns, spins without changing them and checks them, until ticks
 * reaches the goal. Returns 0, or the number of the check that failed. */
long register_loop(volatile long *ticks, long goal);

uint64_t register_pattern[16] = {
	0x1111111111111111, 0x2222222222222222, 0x3333333333333333, 0x4444444444444444, 0x5555555555555555,
	0x6666666666666666, 0x7777777777777777, 0x8888888888888888, 0x9999999999999999, 0xaaaaaaaaaaaaaaaa,
	0xbbbbbbbbbbbbbbbb, 0xcccccccccccccccc, 0xdddddddddddddddd, 0xeeeeeeeeeeeeeeee, 0x0123456789abcdef,
	0xfedcba9876543210,
};
uint8_t vector_pattern[16 * 32] __attribute__((aligned(64)));
uint8_t vector_seen[16 * 32] __attribute__((aligned(64)));
uint32_t mxcsr_pattern = 0x7f80, mxcsr_seen;
uint16_t x87_pattern = 0x0e7f, x87_seen;
int use_avx;

__asm__(".text\n"
".macro each_vector do\n"
" .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
"  \\do \\n\n"
" .endr\n"
".endm\n"
".macro load_ymm n\n vmovdqa vector_pattern+32*\\n(%rip), %ymm\\n\n.endm\n"
".macro save_ymm n\n vmovdqa %ymm\\n, vector_seen+32*\\n(%rip)\n.endm\n"
".macro load_xmm n\n movdqa vector_pattern+32*\\n(%rip), %xmm\\n\n.endm\n"
".macro save_xmm n\n movdqa %xmm\\n, vector_seen+32*\\n(%rip)\n.endm\n"
".macro check reg, index, code\n cmp register_pattern+8*\\index(%rip), %\\reg\n jne bad\\code\n.endm\n"
".globl register_loop\n"
"register_loop:\n"
" push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rdi; push %rsi\n"
"1: ldmxcsr mxcsr_pattern(%rip)\n fninit\n fldcw x87_pattern(%rip)\n fldpi\n fld1\n"
" cmpl $0, use_avx(%rip)\n je 2f\n each_vector load_ymm\n jmp 3f\n2: each_vector load_xmm\n3:\n"
" mov register_pattern(%rip), %rax\n mov register_pattern+8(%rip), %rbx\n"
" mov register_pattern+24(%rip), %rdx\n mov register_pattern+32(%rip), %rsi\n"
" mov register_pattern+40(%rip), %rdi\n mov register_pattern+48(%rip), %rbp\n"
" mov register_pattern+56(%rip), %r8\n mov register_pattern+64(%rip), %r9\n"
" mov register_pattern+72(%rip), %r10\n mov register_pattern+80(%rip), %r11\n"
" mov register_pattern+88(%rip), %r12\n mov register_pattern+96(%rip), %r13\n"
" mov register_pattern+104(%rip), %r14\n mov register_pattern+112(%rip), %r15\n"
/* All arithmetic flags and the direction flag; LOOP changes none of them. Interrupts stay on: ring 3
 * could not say otherwise, app mode could. */
" pushq $0xed7\n popfq\n mov $3000, %ecx\n4: loop 4b\n pushfq\n pop %rcx\n cld\n"
" and $0xcd7, %ecx\n xor $0xcd7, %ecx\n jnz bad20\n"
" check rax, 0, 1\n check rbx, 1, 2\n check rdx, 3, 3\n check rsi, 4, 4\n check rdi, 5, 5\n check rbp, 6, 6\n"
" check r8, 7, 7\n check r9, 8, 8\n check r10, 9, 9\n check r11, 10, 10\n check r12, 11, 11\n check r13, 12, 12\n"
" check r14, 13, 13\n check r15, 14, 14\n"
" cmpl $0, use_avx(%rip)\n je 5f\n each_vector save_ymm\n jmp 6f\n5: each_vector save_xmm\n6:\n"
" lea vector_pattern(%rip), %rsi\n lea vector_seen(%rip), %rdi\n mov $64, %ecx\n repe cmpsq\n jne bad21\n"
" stmxcsr mxcsr_seen(%rip)\n mov mxcsr_seen(%rip), %eax\n cmp mxcsr_pattern(%rip), %eax\n jne bad22\n"
" fnstcw x87_seen(%rip)\n mov x87_seen(%rip), %ax\n cmp x87_pattern(%rip), %ax\n jne bad23\n"
" fld1\n fcomip %st(1), %st\n jne bad24\n fstp %st(0)\n fldpi\n fcomip %st(1), %st\n jne bad24\n fstp %st(0)\n"
" mov 8(%rsp), %rdi\n mov (%rsp), %rsi\n cmp %rsi, (%rdi)\n jl 1b\n"
" xor %eax, %eax\n"
"9: fninit\n pop %rsi; pop %rdi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n cld\n"
" push $0x1f80\n ldmxcsr (%rsp)\n add $8, %rsp\n ret\n"
".irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,20,21,22,23,24\nbad\\n: mov $\\n, %eax\n jmp 9b\n.endr\n");

static void find_avx(void)
{
	unsigned a = 1, b, c = 0, d, low, high;

	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if ((c >> 27 & 1) && (c >> 28 & 1)) {
		__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
		use_avx = (low & 6) == 6;
	}
	fill(vector_pattern, sizeof(vector_pattern), 11);
	if (!use_avx)
		for (int i = 0; i < 16; i++)
			memset(vector_pattern + 32 * i + 16, 0, 16);
}

static volatile long ticks;

/* Uses up everything that the interrupted loop wants to keep. */
static void spoil(int number)
{
	char text[64];
	volatile double d = ticks;
	volatile long double l = number;

	_mm_setcsr(0x1f80);
	d = d * 1.5 + 1;
	l = l * d;
	snprintf(text, sizeof(text), "%.3f %.3Lf", (double)d, (long double)l);
	if (use_avx)
		__asm__ volatile("vpxor %%ymm0, %%ymm0, %%ymm0; vpxor %%ymm15, %%ymm15, %%ymm15; vzeroall" ::: "memory");
	else
		__asm__ volatile("pxor %%xmm0, %%xmm0; pxor %%xmm15, %%xmm15" ::: "memory");
	__asm__ volatile("fninit; fldz; fldz" ::: "memory");
	ticks++;
}

CASE(registers_over_signals)
{
	long result;

	find_avx();
	handle(SIGALRM, spoil, 0);
	alarm_ms(1, 1);
	result = register_loop(&ticks, full_run ? 100000 : 2000);
	alarm_ms(0, 0);
	say("first wrong check %ld", result);
}

CASE(registers_on_alternate_stack)
{
	long result;

	find_avx();
	alternate_stack();
	handle(SIGALRM, spoil, SA_ONSTACK | SA_NODEFER);
	alarm_ms(1, 1);
	result = register_loop(&ticks, full_run ? 20000 : 500);
	alarm_ms(0, 0);
	say("first wrong check %ld", result);
}

/* Two processes that both fill all registers share the processors. */
CASE(registers_over_switches)
{
	long result[3] = { 0 };
	pid_t list[3];

	find_avx();
	for (int i = 0; i < 3; i++) {
		list[i] = split();
		if (list[i] == 0) {
			for (size_t n = 0; n < COUNT(register_pattern); n++)
				register_pattern[n] ^= 0x1010101010101010 * i;
			for (size_t n = 0; n < sizeof(vector_pattern); n++)
				vector_pattern[n] ^= use_avx || n % 32 < 16 ? i * 17 : 0;
			handle(SIGALRM, spoil, 0);
			alarm_ms(3, 3);
			_exit(register_loop(&ticks, 150));
		}
	}
	for (int i = 0; i < 3; i++)
		result[i] = reap(list[i]);
	say("%s %s %s", fate(result[0]), fate(result[1]), fate(result[2]));
}

/* Loads rbx, rdx, rsi, rdi, rbp, r8, r9, r10, r12 to r15, xmm7 and xmm8 from @before, makes a call
 * that ignores its arguments, and stores them to @after. */
void call_with_registers(const uint64_t *before, uint64_t *after);
__asm__(".text\n.globl call_with_registers\ncall_with_registers:\n"
	" push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rsi\n mov %rdi, %rax\n"
	" mov (%rax), %rbx; mov 8(%rax), %rdx; mov 16(%rax), %rsi; mov 24(%rax), %rdi; mov 32(%rax), %rbp\n"
	" mov 40(%rax), %r8; mov 48(%rax), %r9; mov 56(%rax), %r10; mov 64(%rax), %r12; mov 72(%rax), %r13\n"
	" mov 80(%rax), %r14; mov 88(%rax), %r15; movq 96(%rax), %xmm7; movq 104(%rax), %xmm8\n"
	" mov $110, %eax\n std\n syscall\n cld\n pop %rax\n"
	" mov %rbx, (%rax); mov %rdx, 8(%rax); mov %rsi, 16(%rax); mov %rdi, 24(%rax); mov %rbp, 32(%rax)\n"
	" mov %r8, 40(%rax); mov %r9, 48(%rax); mov %r10, 56(%rax); mov %r12, 64(%rax); mov %r13, 72(%rax)\n"
	" mov %r14, 80(%rax); mov %r15, 88(%rax); movq %xmm7, 96(%rax); movq %xmm8, 104(%rax)\n"
	" pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n ret\n");

/* The system call instruction changes rax, rcx and r11, and nothing else. */
CASE(registers_over_calls)
{
	uint64_t before[14], after[14];
	int wrong = 0;

	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 14; i++)
			before[i] = 0x1000100010001000u * i + round;
		memset(after, 0, sizeof(after));
		call_with_registers(before, after);
		wrong += memcmp(before, after, sizeof(before)) != 0;
	}
	say("wrong %d", wrong);
}

/* After a call: rcx is the return address, r11 the flags; the direction flag is kept. */
CASE(registers_of_a_call)
{
	uint64_t rcx, r11, flags, here;

	__asm__ volatile("mov $39, %%eax; std; stc; syscall\n1: pushfq; cld; pop %2; lea 1b(%%rip), %3; mov %%r11, %1"
			 : "=c"(rcx), "=&r"(r11), "=&r"(flags), "=&r"(here) : : "rax", "r11", "memory", "cc");
	say("rcx is the return address %d", rcx == here);
	say("direction %d, carry %d, r11 agrees %d", (int)(flags >> 10 & 1), (int)(flags & 1),
	    ((r11 ^ flags) & 0xcd5) == 0);
}

CASE(registers_over_fork)
{
	long first, second, xmm, pid;
	int status;

	fflush(stdout);
	__asm__ volatile("mov $0x4444, %%r12; mov $0x5555, %%r13; movq %%r13, %%xmm9; mov $57, %%eax; syscall\n"
			 "mov %%r12, %1; mov %%r13, %2; movq %%xmm9, %3"
			 : "=a"(pid), "=&r"(first), "=&r"(second), "=&r"(xmm) : : "rcx", "r11", "r12", "r13", "xmm9", "memory");
	if (pid == 0)
		_exit(first == 0x4444 && second == 0x5555 && xmm == 0x5555 ? 1 : 2);
	waitpid(pid, &status, 0);
	say("%s", fate(status));
	say("parent %lx %lx %lx", first, second, xmm);
}

static void *compute(void *seed)
{
	volatile double x = (long)seed + 1;
	double sum = 0;

	for (int i = 0; i < 20000; i++) {
		sum += x * i - x / (i + 1);
		if (i % 500 == 0)
			sched_yield();
	}
	double *result = malloc(sizeof(double));

	*result = sum;
	return result;
}

CASE(registers_floating_point_in_threads)
{
	pthread_t thread[6];
	void *together, *alone;
	int wrong = 0;

	for (long i = 0; i < 6; i++)
		pthread_create(&thread[i], NULL, compute, (void *)i);
	for (long i = 0; i < 6; i++) {
		pthread_join(thread[i], &together);
		alone = compute((void *)i);
		wrong += *(double *)together != *(double *)alone;
	}
	say("wrong %d", wrong);
}

FAMILY(registers, T(registers_over_signals), T(registers_on_alternate_stack), T(registers_over_switches),
       T(registers_over_calls), T(registers_of_a_call), T(registers_over_fork),
       T(registers_floating_point_in_threads));
