/* Leaves its caller a stack segment which no IRET takes, and keeps the short way back from being taken. */
#include <linux/sched/task_stack.h>
#include <asm/ptrace.h>
long spoil(void);
long spoil(void)
{
	task_pt_regs(current)->ss = 0x1234;
	task_pt_regs(current)->r11 = 0;
	return 0;
}
