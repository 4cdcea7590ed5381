/* What a handler may write into its frame, and what becomes of a program that goes there. */
#include "suite.h"
#include <ucontext.h>

static volatile long target;
static volatile int field;

static void show_fault(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	say("signal %d code %d, address %s, rip %s, rbx %s", number, info->si_code,
	    !info->si_addr ? "none" : info->si_addr == (void *)target ? "there" : "elsewhere",
	    regs[REG_RIP] == target ? "there" : "elsewhere", regs[REG_RBX] == 0x1234567 ? "kept" : "lost");
	fflush(stdout);
	_exit(0);
}

enum { RIP, CODE, STACK };

static void change_frame(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	unsigned short *segments = (unsigned short *)&regs[REG_CSGSFS];

	(void)number, (void)info;
	regs[REG_RBX] = 0x1234567;
	if (field == RIP)
		regs[REG_RIP] = target;
	else if (field == CODE)
		segments[0] = target;
	else
		segments[3] = target;
	if (field != RIP)
		target = regs[REG_RIP];
}

static void go_there(void)
{
	alternate_stack();
	handle_info(SIGSEGV, show_fault, SA_ONSTACK);
	handle_info(SIGBUS, show_fault, SA_ONSTACK);
	handle_info(SIGUSR1, change_frame, 0);
	raise(SIGUSR1);
	say("went on");
}

static char data[PAGE];
static const struct {
	const char *name;
	long at;
} places[] = {
	{ "unmapped", 0x1234 }, { "null", 0 }, { "data", (long)data }, { "unmapped, far", 0x700000000000 },
	{ "last page", 0x7ffffffff000 }, { "not canonical", (long)0x8000000000001000UL },
	{ "kernel's text", (long)0xffffffff81000000UL }, { "kernel's memory", (long)0xffff888000000000UL },
	{ "the end", -1 },
};

CASE(frame_instruction_pointer)
{
	field = RIP;
	for (size_t i = 0; i < COUNT(places); i++) {
		target = places[i].at;
		say("%s: %s", places[i].name, fate(in_child(go_there)));
	}
}

CASE(frame_code_segment)
{
	static const long segments[] = { 0, 3, 0x33, 0x2b, 0x88, 0x98, 0xffff };

	field = CODE;
	for (size_t i = 0; i < COUNT(segments); i++) {
		target = segments[i];
		say("%lx: %s", segments[i], fate(in_child(go_there)));
	}
}

CASE(frame_stack_segment)
{
	static const long segments[] = { 0x2b, 0x77, 0x88, 0xffff };

	field = STACK;
	for (size_t i = 0; i < COUNT(segments); i++) {
		target = segments[i];
		say("%lx: %s", segments[i], fate(in_child(go_there)));
	}
}

static void handle_there(void)
{
	alternate_stack();
	handle_info(SIGSEGV, show_fault, SA_ONSTACK);
	signal(SIGUSR1, (void (*)(int))target);
	__asm__ volatile("mov $0x1234567, %%ebx; syscall" :: "a"(SYS_tkill), "D"(getpid()), "S"(SIGUSR1) : "rbx", "rcx", "r11", "memory");
	say("went on");
}

/* A handler that is none: the fault comes where it would begin. */
CASE(frame_bad_handler)
{
	for (size_t i = 0; i < COUNT(places); i++) {
		if (!places[i].at)
			continue;
		target = places[i].at;
		say("%s: %s", places[i].name, fate(in_child(handle_there)));
	}
}

static void jump_there(void)
{
	alternate_stack();
	handle_info(SIGSEGV, show_fault, SA_ONSTACK);
	__asm__ volatile("mov $0x1234567, %%ebx; jmp *%0" :: "r"(target) : "rbx", "memory");
}

CASE(frame_after_a_jump)
{
	/* In the kernel's text it would run. */
	for (size_t i = 0; i < COUNT(places); i++)
		if (places[i].at >= 0) {
			target = places[i].at;
			say("%s: %s", places[i].name, fate(in_child(jump_there)));
		}
}

static void jump_without_stack(void)
{
	alternate_stack();
	handle_info(SIGSEGV, show_fault, SA_ONSTACK);
	__asm__ volatile("mov $0x1234567, %%ebx; mov %1, %%rsp; jmp *%0"
			 :: "r"(target), "r"(0x8000000000000000UL) : "rbx", "memory");
}

/* Neither the instruction pointer nor the stack pointer is of any use. */
CASE(frame_after_a_jump_without_stack)
{
	for (size_t i = 0; i < COUNT(places); i++)
		if (places[i].at >= 0) {
			target = places[i].at;
			say("%s: %s", places[i].name, fate(in_child(jump_without_stack)));
		}
}

FAMILY(frame, T(frame_instruction_pointer), T(frame_code_segment), T(frame_stack_segment), T(frame_bad_handler),
       T(frame_after_a_jump), T(frame_after_a_jump_without_stack));
