/*
 * What level 0 permits and level 3 does not. App mode does not trap these: the cases document it,
 * and most of them are in known.txt. Each does something that leaves the kernel whole.
 */
#include "suite.h"
#include <asm/prctl.h>
#include <setjmp.h>

static sigjmp_buf back;
static volatile int seen;

static void leave(int number)
{
	seen = number;
	siglongjmp(back, 1);
}

static void attempt(const char *what, void (*body)(void))
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGTRAP };
	pid_t pid = split();

	if (pid == 0) {
		alternate_stack();
		for (size_t i = 0; i < COUNT(signals); i++)
			handle(signals[i], leave, SA_ONSTACK);
		if (sigsetjmp(back, 1) == 0) {
			body();
			say("%s: executed", what);
		} else {
			say("%s: signal %d", what, seen);
		}
		finish();
	}
	EXPECT(reap(pid) == 0);
}

#define RING0(name, what, ...) \
	static void name##_body(void) { __VA_ARGS__; } \
	CASE(name) { attempt(what, name##_body); } \
	static void name##_body(void)

#define ASM(text, ...) __asm__ volatile(text __VA_ARGS__)

RING0(ring0_cli, "cli, then sti", ASM("cli; nop; sti", ::: "memory"));
RING0(ring0_hlt, "the halt instruction", ASM(".byte 0xf4", ::: "memory"));
RING0(ring0_rdmsr, "rdmsr of the time stamp counter", ASM("rdmsr", :: "c"(0x10) : "rax", "rdx"));
RING0(ring0_read_control, "read of a control register", ASM("mov %%cr0, %%rax", ::: "rax"));
RING0(ring0_in, "port input", ASM("inb $0x80, %%al", ::: "rax"));
RING0(ring0_invlpg, "invlpg", ASM("invlpg (%0)", :: "r"(&seen) : "memory"));
RING0(ring0_clac, "clac, then a memory access", ASM("clac; mov %0, %%eax; stac", :: "m"(seen) : "rax", "memory"));
RING0(ring0_read_kernel, "read of kernel text",
      volatile char c = *(volatile char *)0xffffffff81000000; (void)c);
RING0(ring0_interrupt_80, "int 0x80", ASM("mov $20, %%eax; int $0x80", ::: "rax", "memory"));
RING0(ring0_invalid_msr, "wrmsr that the processor refuses", ASM("wrmsr", :: "a"(0), "d"(0), "c"(0x12345678)));

/* Ring 3 ignores a change of the interrupt flag and of the I/O level. */
static void change_flags_body(void)
{
	unsigned long flags;

	ASM("pushfq; orq $0x3000, (%%rsp); popfq; pushfq; pop %0; pushfq; andq $~0x3000, (%%rsp); popfq",
	    : "=r"(flags) :: "memory", "cc");
	say("level %lu", flags >> 12 & 3);
	ASM("pushfq; andq $~0x200, (%%rsp); popfq; pushfq; pop %0; pushfq; orq $0x200, (%%rsp); popfq",
	    : "=r"(flags) :: "memory", "cc");
	say("interrupts %lu", flags >> 9 & 1);
}
CASE(ring0_popf) { attempt("popf", change_flags_body); }

/* Interrupts off, then a call: the kernel turns them on again, as the clock shows. */
static void call_without_interrupts(void)
{
	unsigned long flags;
	long start = now_ms();

	if (app_mode())
		ASM("cli", ::: "memory");
	sleep_ms(20);
	ASM("pushfq; pop %0", : "=r"(flags) :: "memory");
	say("interrupts %lu", flags >> 9 & 1);
	say("slept %d", now_ms() - start >= 19);
}
CASE(ring0_call_without_interrupts) { attempt("call", call_without_interrupts); }

static void alignment_body(void)
{
	static int words[2];
	int value;

	ASM("pushfq; orq $0x40000, (%%rsp); popfq; mov 1(%1), %0; pushfq; andq $~0x40000, (%%rsp); popfq",
	    : "=r"(value) : "r"(words) : "memory", "cc");
}
CASE(ring0_alignment_check) { attempt("misaligned access", alignment_body); }

/* App mode keeps access to its own memory whatever it does to the flag. */
static void visible_ac_body(void)
{
	unsigned long flags;

	ASM("pushfq; pop %0", : "=r"(flags) :: "memory");
	say("ac %lu", flags >> 18 & 1);
	ASM("pushfq; andq $~0x40000, (%%rsp); popfq", ::: "memory", "cc");
	seen = 5;
	getppid();
	say("stored %d", seen);
}
CASE(ring0_access_flag) { attempt("ac cleared", visible_ac_body); }

static void nested_task_body(void)
{
	/* Harmless unless a return from interrupt meets it. */
	ASM("pushfq; orq $0x4000, (%%rsp); popfq", ::: "memory", "cc");
	sleep_ms(20);
	for (volatile int i = 0; i < 3000000; i++)
		;
	ASM("pushfq; andq $~0x4000, (%%rsp); popfq", ::: "memory", "cc");
}
CASE(ring0_nested_task_flag) { attempt("nt over calls and interrupts", nested_task_body); }

static void descriptor_tables_body(void)
{
	struct { unsigned short limit; unsigned long base; } __attribute__((packed)) table = { 0, 0 };

	ASM("sgdt %0", : "=m"(table));
	say("the real table %d", table.limit != 0);
}
CASE(ring0_descriptor_tables) { attempt("sgdt", descriptor_tables_body); }

/*
 * Returns from interrupt and far returns to the program's own segment work in both modes, but not
 * as cases: QEMU before 9.1 reads a ring-3 stack with supervisor rights for them, which SMAP stops.
 */

static void sysenter_body(void)
{
	ASM("sysenter", ::: "memory");
}
CASE(ring0_sysenter)
{
	/* With the kernel's stack pointer in place it would be an entry: only ring 3 may try. */
	if (app_mode())
		say("sysenter: not run in app mode");
	else
		attempt("sysenter", sysenter_body);
}

/* The GS base is the kernel's own while the program runs. */
static void gs_base_body(void)
{
	static unsigned long own[2] = { 77, 88 };
	unsigned long base = 0, value = 0;

	EXPECT(syscall(SYS_arch_prctl, ARCH_SET_GS, own) == 0);
	EXPECT(syscall(SYS_arch_prctl, ARCH_GET_GS, &base) == 0);
	say("base as set %d", base == (unsigned long)own);
	ASM("mov %%gs:8, %0", : "=r"(value));
	say("read through it %d", value == 88);
}
CASE(ring0_gs_base) { attempt("gs", gs_base_body); }

static void fs_base_body(void)
{
	unsigned long base = 0, self_pointer;

	ASM("mov %%fs:0, %0", : "=r"(self_pointer));
	EXPECT(syscall(SYS_arch_prctl, ARCH_GET_FS, &base) == 0);
	say("tls base %d", base == self_pointer);
	say("kernel address %s", answer(syscall(SYS_arch_prctl, ARCH_SET_FS, 0xffffffff81000000)));
	say("bad pointer %s", answer(syscall(SYS_arch_prctl, ARCH_GET_FS, 0xffffffff81000000)));
}
CASE(ring0_fs_base) { attempt("fs", fs_base_body); }

/* Jumps and calls into the kernel's own text end in a signal. */
RING0(ring0_jump_to_kernel_text, "jump to kernel text", ASM("jmp *%0", :: "r"(0xffffffff81000400) : "memory"));
RING0(ring0_call_kernel_text, "call of kernel text", ASM("call *%0", :: "r"(0xffffffff81000400) : "memory"));

FAMILY(ring0, T(ring0_cli), T(ring0_hlt), T(ring0_rdmsr), T(ring0_read_control), T(ring0_in), T(ring0_invlpg),
       T(ring0_clac), T(ring0_read_kernel), T(ring0_interrupt_80), T(ring0_invalid_msr), T(ring0_popf),
       T(ring0_call_without_interrupts), T(ring0_alignment_check), T(ring0_access_flag),
       T(ring0_nested_task_flag), T(ring0_descriptor_tables),
       T(ring0_sysenter), T(ring0_gs_base), T(ring0_fs_base), T(ring0_jump_to_kernel_text),
       T(ring0_call_kernel_text));
