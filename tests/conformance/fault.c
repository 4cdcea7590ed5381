/* What a processor fault becomes: signal, code, address, trap number, error code. */
#include "suite.h"
#include <setjmp.h>
#include <ucontext.h>

static int data_word = 0xc3;
static const int ro_word = 3;

static void fault_write_text_body(void);

static const char *kind_of(uintptr_t at, uintptr_t ip)
{
	static char text[32];

	if (at == (uintptr_t)&data_word)
		return "data";
	if (at == (uintptr_t)&ro_word)
		return "rodata";
	if (at == (uintptr_t)fault_write_text_body)
		return "text";
	if (at < 65536) {
		snprintf(text, sizeof(text), "%lu", (unsigned long)at);
		return text;
	}
	if (at == ip)
		return "the instruction";
	return (intptr_t)at < 0 ? "kernel" : "user";
}

static void report(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	say("signal %d code %d at %s, trap %d, error %x", number, info->si_code,
	    number == SIGTRAP ? "-" : kind_of((uintptr_t)info->si_addr, number == SIGSEGV ? 0 : regs[REG_RIP]), (int)regs[REG_TRAPNO],
	    (unsigned)regs[REG_ERR]);
	fflush(stdout);
	_exit(0);
}

static void watch(void (*body)(void))
{
	pid_t pid = split();
	int status;

	if (pid == 0) {
		static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };

		alternate_stack();
		for (size_t i = 0; i < COUNT(signals); i++)
			handle_info(signals[i], report, SA_ONSTACK);
		body();
		say("no fault");
		finish();
	}
	status = reap(pid);
	if (status)
		say("%s", fate(status));
	/* The same without a handler. */
	pid = split();
	if (pid == 0) {
		body();
		_exit(0);
	}
	say("unhandled: %s", fate(reap(pid)));
}

#define FAULT(name, ...) \
	static void name##_body(void) { __VA_ARGS__; } \
	CASE(name) { watch(name##_body); } \
	static void name##_body(void)

#define ASM(text, ...) __asm__ volatile(text __VA_ARGS__)

FAULT(fault_read_null, ASM("mov 8, %%eax", ::: "rax", "memory"));
FAULT(fault_write_null, ASM("movl $1, 16", ::: "memory"));
FAULT(fault_call_null, ASM("xor %%eax, %%eax; call *%%rax", ::: "rax", "memory"));
FAULT(fault_call_data, ((void (*)(void))(void *)&data_word)());
FAULT(fault_call_stack, char code[16] = { (char)0xc3 }; ASM("call *%0", :: "r"(code) : "memory"));
FAULT(fault_call_unmapped, ASM("call *%0", :: "r"(0x7000L) : "memory"));
FAULT(fault_write_text, *(volatile char *)(void *)fault_write_text_body = 1);
FAULT(fault_write_rodata, *(volatile int *)(void *)&ro_word = 1);
FAULT(fault_divide, ASM("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx", ::: "rax", "rcx", "rdx"));
FAULT(fault_divide_overflow, ASM("mov $0x80000000, %%eax; cltd; mov $-1, %%ecx; idiv %%ecx", ::: "rax", "rcx", "rdx"));
FAULT(fault_undefined, ASM("ud2", ::: "memory"));
FAULT(fault_undefined_lock, ASM(".byte 0xf0, 0x90", ::: "memory"));
FAULT(fault_breakpoint, ASM("int3", ::: "memory"));
FAULT(fault_debug_instruction, ASM(".byte 0xf1", ::: "memory"));
FAULT(fault_non_canonical_read, ASM("mov (%0), %%eax", :: "r"(0x8000000000000000) : "rax"));
FAULT(fault_non_canonical_jump, ASM("jmp *%0", :: "r"(0x8000000000000000) : "memory"));
FAULT(fault_non_canonical_return, ASM("push %0; ret", :: "r"(0x8000000000000000) : "memory"));
FAULT(fault_non_canonical_stack, ASM("mov %0, %%rsp; push %%rax", :: "r"(0x8000000000000000) : "memory"));
FAULT(fault_unmapped_stack_push, ASM("mov $0x7000, %%rsp; push %%rax", ::: "memory"));
FAULT(fault_unmapped_stack_pop, ASM("mov $0x7000, %%rsp; pop %%rax", ::: "memory"));
FAULT(fault_unmapped_stack_call, ASM("mov $0x7000, %%rsp; call 1f; 1:", ::: "memory"));
FAULT(fault_misaligned_sse, ASM("movaps 1(%0), %%xmm0", :: "r"(&data_word) : "xmm0"));
FAULT(fault_floating_point,
      unsigned control = 0x1f80 & ~0x200;
      ASM("ldmxcsr %0; pxor %%xmm0, %%xmm0; mov $0x3f800000, %%eax; movd %%eax, %%xmm1; divss %%xmm0, %%xmm1",
	  :: "m"(control) : "rax", "xmm0", "xmm1"));
FAULT(fault_x87, unsigned short control = 0x37b;
      ASM("fninit; fldcw %0; fld1; fldz; fdivrp; fwait", :: "m"(control) : "memory"));
FAULT(fault_bad_segment, ASM("mov $0x1234, %%eax; mov %%eax, %%es", ::: "rax"));
FAULT(fault_software_interrupt, ASM("int $0x2f", ::: "memory"));
FAULT(fault_abort, abort());
FAULT(fault_trap, __builtin_trap());
FAULT(fault_execute_hlt, ASM("hlt", ::: "memory"));
FAULT(fault_kernel_hole_read, ASM("mov (%0), %%eax", :: "r"(0xfffffc0000000000) : "rax"));
FAULT(fault_kernel_hole_write, ASM("movl $1, (%0)", :: "r"(0xfffffc0000000000) : "memory"));

static int deep(int depth)
{
	volatile char frame[4096];

	frame[0] = depth;
	return depth == endless ? 0 : deep(depth + 1) + frame[0];
}

FAULT(fault_stack_overflow, deep(0));

static void look_at_jump(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	say("signal %d, address right %d, rip there %d, rcx kept %d", number, info->si_addr == &data_word,
	    regs[REG_RIP] == (greg_t)&data_word, regs[REG_RCX] == 0x5678);
	fflush(stdout);
	_exit(0);
}

static void jump_with_registers(void)
{
	alternate_stack();
	handle_info(SIGSEGV, look_at_jump, SA_ONSTACK);
	ASM("jmp *%0", :: "r"(&data_word), "c"(0x5678) : "memory");
}

/* The frame names the place that was jumped to, although app mode never arrives there. */
CASE(fault_frame_of_a_bad_jump)
{
	say("%s", fate(in_child(jump_with_registers)));
}

/* Faults in a row, each left by a jump: nothing may pile up. */
static sigjmp_buf back;
static void leave(int number)
{
	siglongjmp(back, number);
}

CASE(fault_many)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	volatile int seen[32] = { 0 };

	alternate_stack();
	for (size_t i = 0; i < COUNT(signals); i++)
		handle(signals[i], leave, SA_ONSTACK);
	for (volatile int i = 0; i < 3000; i++) {
		int number = sigsetjmp(back, 1);

		if (number) {
			seen[number]++;
			continue;
		}
		switch (i % 6) {
		case 0: fault_read_null_body(); break;
		case 1: fault_undefined_body(); break;
		case 2: fault_divide_body(); break;
		case 3: fault_breakpoint_body(); break;
		case 4: fault_non_canonical_read_body(); break;
		case 5: fault_write_text_body(); break;
		}
	}
	say("segv %d ill %d fpe %d trap %d", seen[SIGSEGV], seen[SIGILL], seen[SIGFPE], seen[SIGTRAP]);
}

FAMILY(fault, T(fault_read_null), T(fault_write_null), T(fault_call_null), T(fault_call_data), T(fault_call_stack),
       T(fault_call_unmapped), T(fault_write_text), T(fault_write_rodata), T(fault_divide),
       T(fault_divide_overflow), T(fault_undefined), T(fault_undefined_lock), T(fault_breakpoint),
       T(fault_debug_instruction), T(fault_non_canonical_read), T(fault_non_canonical_jump),
       T(fault_non_canonical_return), T(fault_non_canonical_stack), T(fault_unmapped_stack_push),
       T(fault_unmapped_stack_pop), T(fault_unmapped_stack_call), T(fault_misaligned_sse),
       T(fault_floating_point), T(fault_x87), T(fault_bad_segment), T(fault_software_interrupt), T(fault_abort),
       T(fault_trap), T(fault_execute_hlt), T(fault_kernel_hole_read), T(fault_kernel_hole_write),
       T(fault_stack_overflow), T(fault_frame_of_a_bad_jump), T(fault_many));
