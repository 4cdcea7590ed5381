/* Pointers that no program may use: each call must say EFAULT, whoever asks. */
#include "suite.h"
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

static int pipe_fd[2], pair[2], file, event_poll;

static void prepare(void)
{
	struct epoll_event event = { .events = EPOLLIN };

	EXPECT(pipe(pipe_fd) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	EXPECT(write(pipe_fd[1], "0123456789abcdef", 16) == 16 && write(pair[0], "0123456789abcdef", 16) == 16);
	file = scratch("file", "0123456789abcdef", 16);
	event_poll = epoll_create1(0);
	EXPECT(epoll_ctl(event_poll, EPOLL_CTL_ADD, pipe_fd[0], &event) == 0);
}

#define P(name, call) static long p_##name(void *bad) { return call; }
#define S(name, ...) P(name, syscall(SYS_##name, __VA_ARGS__))

P(read_pipe, syscall(SYS_read, pipe_fd[0], bad, 8L))
P(write_pipe, syscall(SYS_write, pipe_fd[1], bad, 8L))
P(read_file, syscall(SYS_pread64, file, bad, 8L, 0L))
P(write_file, syscall(SYS_pwrite64, file, bad, 8L, 0L))
P(read_zero, syscall(SYS_read, open("/dev/zero", O_RDONLY), bad, 8L))
P(readv_list, syscall(SYS_readv, pipe_fd[0], bad, 1L))
P(readv_base, syscall(SYS_readv, file, (&(struct iovec){ bad, 8 }), 1L))
P(writev_base, syscall(SYS_writev, pipe_fd[1], (&(struct iovec){ bad, 8 }), 1L))
S(open, bad, O_RDONLY)
P(stat_path, syscall(SYS_stat, bad, &(struct stat){ 0 }))
P(stat_result, syscall(SYS_stat, ".", bad))
S(getcwd, bad, 100L)
S(readlink, "/proc/self/cwd", bad, 100L)
P(getdents, syscall(SYS_getdents64, open(".", O_RDONLY), bad, 100L))
S(rename, bad, "x")
S(mkdir, bad, 0755)
S(pipe2, bad, 0)
P(ioctl, ioctl(pipe_fd[0], FIONREAD, bad))
P(fcntl_lock, syscall(SYS_fcntl, file, F_GETLK, bad))
P(sendfile_offset, syscall(SYS_sendfile, pipe_fd[1], file, bad, 8L))
P(bind, syscall(SYS_bind, pair[0], bad, 16L))
P(connect, syscall(SYS_connect, pair[0], bad, 16L))
P(send, syscall(SYS_sendto, pair[0], bad, 8L, 0, NULL, 0))
P(recv, syscall(SYS_recvfrom, pair[1], bad, 8L, 0, NULL, NULL))
P(sendmsg, syscall(SYS_sendmsg, pair[0], bad, 0))
P(recvmsg, syscall(SYS_recvmsg, pair[1], bad, 0))
P(getsockopt_value, syscall(SYS_getsockopt, pair[0], SOL_SOCKET, SO_TYPE, bad, (&(socklen_t){ 4 })))
P(getsockopt_length, syscall(SYS_getsockopt, pair[0], SOL_SOCKET, SO_TYPE, (&(int){ 4 }), bad))
P(setsockopt, syscall(SYS_setsockopt, pair[0], SOL_SOCKET, SO_RCVBUF, bad, 4L))
P(getsockname, syscall(SYS_getsockname, pair[0], bad, (&(socklen_t){ 4 })))
S(socketpair, AF_UNIX, SOCK_STREAM, 0, bad)
S(poll, bad, 1L, 0)
S(select, 8, bad, NULL, NULL, (&(struct timeval){ 0, 0 }))
P(epoll_wait, syscall(SYS_epoll_wait, event_poll, bad, 1, 0))
P(epoll_ctl, syscall(SYS_epoll_ctl, event_poll, EPOLL_CTL_ADD, pair[0], bad))
S(nanosleep, bad, NULL)
S(clock_gettime, CLOCK_REALTIME, bad)
S(gettimeofday, bad, NULL)
S(timer_create, CLOCK_REALTIME, NULL, bad)
S(uname, bad)
S(sysinfo, bad)
S(getrusage, 0, bad)
S(getrandom, bad, 8L, 0)
P(prlimit, syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, bad))
P(sigaction, syscall(SYS_rt_sigaction, SIGUSR1, bad, NULL, 8L))
P(sigprocmask, syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, bad, 8L))
P(sigaltstack, syscall(SYS_sigaltstack, NULL, bad))
P(futex_wake, syscall(SYS_futex, (long)bad & ~3L, FUTEX_WAKE, 1, NULL, NULL, 0))
P(futex_wait, syscall(SYS_futex, (long)bad & ~3L, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0))
P(execve_path, syscall(SYS_execve, bad, NULL, NULL))
P(execve_argv, syscall(SYS_execve, "/proc/self/exe", bad, NULL))
P(execve_string, syscall(SYS_execve, "/proc/self/exe", ((void *[]){ bad, NULL }), NULL))
P(sched_affinity, syscall(SYS_sched_getaffinity, 0, 128L, bad))
P(mincore, syscall(SYS_mincore, (long)&pipe_fd & -PAGE, PAGE, bad))
P(process_vm, process_vm_readv(getpid(), &(struct iovec){ bad, 8 }, 1, &(struct iovec){ pipe_fd, 8 }, 1, 0))
P(process_vm_remote, process_vm_readv(getpid(), &(struct iovec){ pair, 8 }, 1, &(struct iovec){ bad, 8 }, 1, 0))
P(vmsplice, vmsplice(pipe_fd[1], &(struct iovec){ bad, 8 }, 1, 0))
P(splice_offset, syscall(SYS_splice, file, bad, pipe_fd[1], NULL, 8L, 0))
S(io_setup, 1, bad)
S(setitimer, ITIMER_REAL, bad, NULL)
S(capget, bad, NULL)
S(getgroups, 0, bad)
S(statfs, "/proc", bad)

static const struct {
	const char *name;
	long (*call)(void *bad);
} probes[] = {
#define N(name) { #name, p_##name }
	N(read_pipe), N(write_pipe), N(read_file), N(write_file), N(read_zero), N(readv_list), N(readv_base),
	N(writev_base), N(open), N(stat_path), N(stat_result), N(getcwd), N(readlink), N(getdents), N(rename),
	N(mkdir), N(pipe2), N(ioctl), N(fcntl_lock), N(sendfile_offset), N(bind), N(connect), N(send), N(recv),
	N(sendmsg), N(recvmsg), N(getsockopt_value), N(getsockopt_length), N(setsockopt), N(getsockname),
	N(socketpair), N(poll), N(select), N(epoll_wait), N(epoll_ctl), N(nanosleep), N(clock_gettime),
	N(gettimeofday), N(timer_create), N(uname), N(sysinfo), N(getrusage), N(getrandom), N(prlimit),
	N(sigaction), N(sigprocmask), N(sigaltstack), N(futex_wake), N(futex_wait), N(execve_path),
	N(execve_argv), N(execve_string), N(sched_affinity), N(mincore), N(process_vm), N(process_vm_remote),
	N(vmsplice), N(splice_offset), N(io_setup), N(setitimer), N(capget), N(getgroups), N(statfs),
#undef N
};

static void each(void *bad)
{
	prepare();
	for (size_t i = 0; i < COUNT(probes); i++) {
		errno = 0;
		say("%s: %s", probes[i].name, answer(probes[i].call(bad)));
	}
}

CASE(efault_low) { each((void *)8); }
CASE(efault_unmapped)
{
	char *at = pages(1);

	munmap(at, PAGE);
	each(at);
}
CASE(efault_protected) { each(mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); }
CASE(efault_kernel_text) { each((void *)0xffffffff81000000UL); }
CASE(efault_kernel_memory) { each((void *)0xffff888000001000UL); }
CASE(efault_kernel_hole) { each((void *)0xfffffc0000000000UL); }
CASE(efault_non_canonical) { each((void *)0x8000000000000000UL); }
CASE(efault_end_of_user) { each((void *)0x00fffffffffffff8UL); }
CASE(efault_top) { each((void *)-8L); }

/* Reading from text is ordinary in ring 3; the program's text is no user memory in app mode. */
CASE(efault_text_as_source)
{
	prepare();
	say("write to a pipe %s", answer(write(pipe_fd[1], (void *)efault_low, 8)));
	say("write to a file %s", answer(pwrite(file, (void *)efault_low, 8, 0)));
	say("send %s", answer(send(pair[0], (void *)efault_low, 8, 0)));
}

CASE(efault_text_as_target)
{
	prepare();
	say("read from a pipe %s", answer(read(pipe_fd[0], (void *)efault_low, 8)));
	say("clock %s", answer(syscall(SYS_clock_gettime, CLOCK_REALTIME, (void *)efault_low)));
	say("wait for nobody %s", answer(syscall(SYS_wait4, -1, (void *)efault_low, 0, NULL)));
}

/* A transfer that is good at first and bad later moves what it can. */
CASE(efault_partial)
{
	char *at = pages(2);

	prepare();
	munmap(at + PAGE, PAGE);
	fill(at, PAGE, 1);
	say("write %s", answer(write(file, at + PAGE - 100, 200)));
	say("read %s", answer(pread(file, at + PAGE - 5, 16, 0)));
	say("pipe %s", answer(write(pipe_fd[1], at + PAGE - 10, 20)));
	say("recv %s", answer(recv(pair[1], at + PAGE - 4, 16, 0)));
}

FAMILY(efault, T(efault_low), T(efault_unmapped), T(efault_protected), T(efault_kernel_text),
       T(efault_kernel_memory), T(efault_kernel_hole), T(efault_non_canonical), T(efault_end_of_user),
       T(efault_top), T(efault_text_as_source), T(efault_text_as_target), T(efault_partial));
