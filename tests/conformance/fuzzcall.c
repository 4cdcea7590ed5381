/* A system call with any registers, and what a program may hold in them. */
#include "fuzz.h"

struct fuzz_registers fuzz_in, fuzz_out;
unsigned long fuzz_stack, fuzz_own_flags, fuzz_fs;

__asm__(".text\n"
".macro fuzz_body after, way:vararg\n"
" push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
" mov %rsp, fuzz_stack(%rip)\n"
" pushfq; popq fuzz_own_flags(%rip)\n"
" mov %fs:0, %rax; mov %rax, fuzz_fs(%rip)\n"
" mov fuzz_in+8(%rip), %rdi; mov fuzz_in+16(%rip), %rsi; mov fuzz_in+24(%rip), %rdx; mov fuzz_in+32(%rip), %r10\n"
" mov fuzz_in+40(%rip), %r8; mov fuzz_in+48(%rip), %r9; mov fuzz_in+56(%rip), %rbx; mov fuzz_in+64(%rip), %rbp\n"
" mov fuzz_in+72(%rip), %r12; mov fuzz_in+80(%rip), %r13; mov fuzz_in+88(%rip), %r14; mov fuzz_in+96(%rip), %r15\n"
" mov fuzz_in(%rip), %rax\n"
" pushq fuzz_in+112(%rip); popfq\n"
" mov fuzz_in+104(%rip), %rsp\n"
" \\way\n"
" jmp \\after\n"
".endm\n"
".globl fuzz_clone, fuzz_clone_instruction, fuzz_call, fuzz_call_instruction, fuzz_land_exit, fuzz_land_trap, fuzz_land_breakpoint, fuzz_land_calls\n"
".globl fuzz_land_spin, fuzz_traced\n"
"fuzz_call: fuzz_body fuzz_after syscall\n"
"fuzz_call_instruction: fuzz_body fuzz_after .byte 0x0f, 0x05\n"
/* The child may share the memory, in which nothing says any more what it is. */
"fuzz_clone: fuzz_body fuzz_after_clone syscall\n"
"fuzz_clone_instruction: fuzz_body fuzz_after_clone .byte 0x0f, 0x05\n"
"fuzz_after_clone: test %rax, %rax; je fuzz_land_calls\n"
"fuzz_after:\n"
" mov %rax, fuzz_out(%rip); mov %rdi, fuzz_out+8(%rip); mov %rsi, fuzz_out+16(%rip); mov %rdx, fuzz_out+24(%rip)\n"
" mov %r10, fuzz_out+32(%rip); mov %r8, fuzz_out+40(%rip); mov %r9, fuzz_out+48(%rip); mov %rbx, fuzz_out+56(%rip)\n"
" mov %rbp, fuzz_out+64(%rip); mov %r12, fuzz_out+72(%rip); mov %r13, fuzz_out+80(%rip); mov %r14, fuzz_out+88(%rip)\n"
" mov %r15, fuzz_out+96(%rip); mov %rsp, fuzz_out+104(%rip)\n"
" mov fuzz_stack(%rip), %rsp\n"
" pushq fuzz_own_flags(%rip); popfq\n"
/* ARCH_SET_FS may have been the call; nothing in C works until the thread's own is back. */
" cmpl $158, fuzz_in(%rip); jne 2f\n"
" mov $158, %eax; mov $0x1002, %edi; mov fuzz_fs(%rip), %rsi; syscall\n"
"2: pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
" ret\n"
"fuzz_land_exit: mov $231, %eax; mov $0, %edi; syscall\n"
" ud2\n"
"fuzz_land_trap: ud2\n"
" jmp fuzz_land_exit\n"
"fuzz_land_breakpoint: int3\n"
" jmp fuzz_land_exit\n"
"fuzz_land_calls:\n"
".rept 4\n mov $110, %eax; syscall\n mov $24, %eax; syscall\n.endr\n"
" mov $60, %eax; mov $0, %edi; syscall\n"
" ud2\n"
"fuzz_land_spin: mov $2000000, %ecx\n1: dec %ecx; jnz 1b\n"
" jmp fuzz_land_exit\n"
"fuzz_traced: mov $110, %eax; syscall\n"
" mov $24, %eax; syscall\n"
" mov $39, %eax; .byte 0x0f, 0x05\n"
" jmp fuzz_traced\n");

static unsigned long state, state_aside;

void fuzz_start(unsigned long seed, unsigned long program)
{
	state = seed * 0x9e3779b97f4a7c15 ^ program * 0xd1342543de82ef95;
	fuzz_random();
	state_aside = ~state;
}

void fuzz_aside(void)
{
	unsigned long other = state;

	state = state_aside;
	state_aside = other;
}

/* SplitMix64 */
unsigned long fuzz_random(void)
{
	unsigned long z = state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

unsigned fuzz_below(unsigned limit)
{
	return (fuzz_random() >> 16) % limit;
}

/* Page 0 to 3 can be written, 4 cannot, 5 is not there. */
char *fuzz_buffer;
#define READ_ONLY (fuzz_buffer + 4 * PAGE)
#define HOLE (fuzz_buffer + 5 * PAGE)

static const unsigned long nowhere[] = {
	0, 1, 0x1000, 0x7ffffffff000, 0x7fffffffffff, 0x800000000000, 0x8000000000000000, 0xdead000000000000,
	0xffff800000000000, 0xffff888000000000, 0xffffc90000000000, 0xfffffe0000000000, 0xfffffe0000001000,
	0xffffffff81000000, 0xffffffff81000400, 0xffffffffff600000, 0xffffffffff5fd000, -4096UL, -1UL,
};

unsigned long fuzz_place(void)
{
	void (*const places[])(void) = { fuzz_land_exit, fuzz_land_trap, fuzz_land_breakpoint, fuzz_land_calls, fuzz_land_spin };

	switch (fuzz_below(8)) {
	case 0:
		return nowhere[fuzz_below(COUNT(nowhere))];
	case 1:
		return (unsigned long)(fuzz_below(2) ? fuzz_buffer : HOLE) + fuzz_below(PAGE);
	default:
		return (unsigned long)places[fuzz_below(COUNT(places))];
	}
}

static const char *const paths[] = {
	"/", ".", "x", "/tmp", "/proc/self/mem", "/proc/self/maps", "/proc/self/exe", "/UKL", "/twin", "/bin/sh", "/dev/null",
	"/proc/thread-self/status", "/dev/zero", "/dev/ptmx",
};

unsigned long fuzz_word(void)
{
	switch (fuzz_below(12)) {
	case 0:
		return fuzz_below(24);
	case 1:
		return -(unsigned long)fuzz_below(110);
	case 2:
		return 1UL << fuzz_below(64);
	case 3:
		return (unsigned)fuzz_random();
	case 4:
		return fuzz_random();
	case 5:
		return nowhere[fuzz_below(COUNT(nowhere))];
	case 6:
		return fuzz_place();
	case 7:
		return (unsigned long)paths[fuzz_below(COUNT(paths))];
	case 8:
		return (unsigned long)READ_ONLY - fuzz_below(64);
	case 9:
		return (unsigned long)HOLE - fuzz_below(64);
	default:
		return (unsigned long)fuzz_buffer + (fuzz_below(4 * PAGE) & ~(fuzz_below(4) ? 7UL : 0));
	}
}

/* What a call may well accept. */
unsigned long fuzz_mild_word(void)
{
	switch (fuzz_below(8)) {
	case 0: case 1:
		return fuzz_below(16);
	case 2:
		return fuzz_below(4) * PAGE;
	case 3:
		return (unsigned long)paths[fuzz_below(COUNT(paths))];
	case 4:
		return 0;
	default:
		return (unsigned long)fuzz_buffer + fuzz_below(3 * PAGE / 64) * 64;
	}
}

/* Interrupts stay on: a program that switches them off at level 0 means it. */
unsigned long fuzz_flags(void)
{
	static const unsigned long bits[] = { 0x1, 0x4, 0x10, 0x40, 0x80, 0x100, 0x400, 0x800, 0x3000, 0x4000, 0x10000, 0x40000, 0x200000 };
	unsigned long flags = app_mode() ? 0x40202 : 0x202;

	if (fuzz_below(5))
		return flags;
	for (int i = fuzz_below(4); i >= 0; i--)
		flags ^= bits[fuzz_below(COUNT(bits))];
	return flags;
}

void fuzz_memory(void)
{
	if (!fuzz_buffer) {
		/* Far from everything else, for who writes over its end. */
		fuzz_buffer = mmap((void *)0x100000000000, 6 * PAGE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		mprotect(READ_ONLY, PAGE, PROT_READ);
		munmap(HOLE, PAGE);
	}
	for (unsigned i = 0; i < 4 * PAGE / 8; i += 1 + fuzz_below(8))
		((unsigned long *)fuzz_buffer)[i] = fuzz_word();
}
