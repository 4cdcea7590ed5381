/*
 * The fuzzer's parts. A program is a number: the same seed and number make the same steps in both modes.
 *
 * At level 0 a program may do anything, so a store to a wild address would say nothing about the kernel. What
 * is random here goes through the boundary only: system calls, signal frames, tracers, exceptions. Code that runs
 * with random registers (fuzz_land_*, fuzz_traced) touches no memory, and no random pointer names live data.
 */
#ifndef FUZZ_H
#define FUZZ_H
#include "suite.h"

#define FUZZ_CALLS 512
/* Nobody in particular: one for the programs at level 0, one for those in ring 3. */
#define FUZZ_USER_APP 65532
#define FUZZ_USER_RING3 65533

/* What both modes and all their processes share. */
struct fuzz_shared {
	/* By mode (app, ring 3) and number: how often a call was made, and how often it succeeded. */
	unsigned made[2][FUZZ_CALLS], succeeded[2][FUZZ_CALLS];
	/* A process at level 0 of the user that the programs in ring 3 have. */
	volatile int victim;
	/* The program in ring 3 that runs now. */
	volatile int beside;
	/* By mode: the program that has given up its privilege. */
	volatile int began[2];
	/* The program says here what it saw, since its own memory may be gone. */
	char violation[2][128];
};
extern struct fuzz_shared *fuzz_shared;

/* What a program has in hand. */
struct fuzz_registers {
	unsigned long rax, rdi, rsi, rdx, r10, r8, r9, rbx, rbp, r12, r13, r14, r15, rsp, flags;
};
extern struct fuzz_registers fuzz_in, fuzz_out;

/* Loads fuzz_in, makes the call in the first or the second way, stores fuzz_out. */
void fuzz_call(void), fuzz_call_instruction(void);
/* The same, for a call that returns twice. */
void fuzz_clone(void), fuzz_clone_instruction(void);
/* Places to go to with any registers: they end the process, trap, call or spin. */
void fuzz_land_exit(void), fuzz_land_trap(void), fuzz_land_breakpoint(void), fuzz_land_calls(void), fuzz_land_spin(void);
/* Makes calls for ever, without memory. */
void fuzz_traced(void);

void fuzz_start(unsigned long seed, unsigned long program);
/* Changes to other random numbers and back: handlers come at any time and leave the program's alone. */
void fuzz_aside(void);
unsigned long fuzz_random(void);
/* Below @limit. */
unsigned fuzz_below(unsigned limit);
/* An address to go to: one of the places above, or none at all. */
unsigned long fuzz_place(void);
/* An argument, a register, a word of a buffer. */
unsigned long fuzz_word(void);
unsigned long fuzz_mild_word(void);
unsigned long fuzz_flags(void);
/* The memory that random pointers name, filled anew. */
void fuzz_memory(void);
extern char *fuzz_buffer;

void fuzz_violation(const char *text);
/* Changes a signal frame, so that the program goes on at another place. */
void fuzz_frame(void *context);
void fuzz_handlers(void);

/* The number of a system call; some are left out. */
unsigned long fuzz_number(void);
void fuzz_step(void);
void fuzz_steps(int count);
void fuzz_step_trace(void);
/* Where a program that runs alone says what it does; else negative. */
extern int fuzz_told;
int fuzz(int argc, char **argv);
#endif
