// SPDX-License-Identifier: MIT OR Apache-2.0
/* The suite on the kernel's side: functions that cases call by name. */
#include <linux/clocksource.h>
#include <linux/delay.h>
#include <linux/pid.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <asm/processor-flags.h>
#include <asm/pvclock.h>
#include <asm/syscall.h>
#include <asm/ukl.h>

long guest_touch(int *at);
long guest_touch_and_yield(int *at, long rounds);
long guest_see_access(long rounds);
long guest_call_back(long (*function)(long), long argument, long rounds);
long guest_call_back_slowly(long (*function)(long), long argument, long rounds);
long guest_watch(long pid);
long guest_watched(void);
long guest_sleep(long milliseconds);
long guest_kvm_clock(long on);

long guest_touch(int *at)
{
	return ++*at;
}

/* Uses the program's memory, which takes EFLAGS.AC, and gives the processor away with it. */
long guest_touch_and_yield(int *at, long rounds)
{
	for (long i = 0; i < rounds; i++) {
		++*at;
		yield();
	}
	return *at;
}

/* How often the kernel finds the flag set after others had the processor. */
long guest_see_access(long rounds)
{
	long seen = 0;

	for (long i = 0; i < rounds; i++) {
		yield();
		seen += !!(native_save_fl() & X86_EFLAGS_AC);
	}
	return seen;
}

long guest_call_back(long (*function)(long), long argument, long rounds)
{
	for (long i = 0; i < rounds; i++)
		argument = function(argument);
	return argument;
}

/* With other processes in between. */
long guest_call_back_slowly(long (*function)(long), long argument, long rounds)
{
	for (long i = 0; i < rounds; i++) {
		yield();
		argument = function(argument);
	}
	return argument;
}

/* Killed, not interrupted: the sleep ends when the process does. */
long guest_sleep(long milliseconds)
{
	return schedule_timeout_killable(msecs_to_jiffies(milliseconds));
}

static atomic_t watched_runs, watched_calls;

static void watch(struct callback_head *work)
{
	atomic_inc(&watched_runs);
	if (ukl_calling())
		atomic_inc(&watched_calls);
	kfree(work);
}

/* Looks at process @pid where it leaves the kernel: does it count as inside of a function like these? */
long guest_watch(long pid)
{
	struct callback_head *work = kmalloc(sizeof(*work), GFP_KERNEL);
	struct task_struct *task = find_get_task_by_vpid(pid);
	int result = -ESRCH;

	if (work && task) {
		init_task_work(work, watch);
		result = task_work_add(task, work, TWA_RESUME);
	}
	if (result)
		kfree(work);
	if (task)
		put_task_struct(task);
	return result;
}

/* The looks that were taken, and those that found it inside, since the last question. */
long guest_watched(void)
{
	return atomic_xchg(&watched_runs, 0) * 1000L + atomic_xchg(&watched_calls, 0);
}

#ifdef CONFIG_KVM_GUEST
extern struct pvclock_vsyscall_time_info hv_clock_boot[];

static u64 read_page(struct clocksource *clock)
{
	return pvclock_clocksource_read(&hv_clock_boot[0].pvti);
}

static int use_page(struct clocksource *clock)
{
	vclocks_set_used(VDSO_CLOCKMODE_PVCLOCK);
	return 0;
}

static struct clocksource kvm_like = {
	.name = "kvm-like",
	.read = read_page,
	.enable = use_page,
	.rating = 1000,
	.mask = CLOCKSOURCE_MASK(64),
	.flags = CLOCK_SOURCE_IS_CONTINUOUS,
	.id = CSID_X86_KVM_CLK,
	.vdso_clock_mode = VDSO_CLOCKMODE_PVCLOCK,
};

/* Makes the clock one as KVM has it, its page filled in here instead of by KVM; and what it was again. */
long guest_kvm_clock(long on)
{
	struct pvclock_vcpu_time_info *page = &hv_clock_boot[0].pvti;
	u64 nanoseconds = 1000000ULL << 32, khz = tsc_khz;

	if (!on)
		return clocksource_unregister(&kvm_like);
	for (page->tsc_shift = 0; nanoseconds >= khz << 32; page->tsc_shift++)
		nanoseconds >>= 1;
	page->tsc_to_system_mul = div64_u64(nanoseconds, khz);
	page->tsc_timestamp = rdtsc();
	page->flags = PVCLOCK_TSC_STABLE_BIT;
	if (!pvclock_get_pvti_cpu0_va())
		pvclock_set_pvti_cpu0_va(hv_clock_boot);
	return clocksource_register_hz(&kvm_like, NSEC_PER_SEC);
}
#else
long guest_kvm_clock(long on)
{
	return -ENOSYS;
}
#endif
