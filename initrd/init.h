/* What the parts of init share. */
#include <netinet/in.h>
#include <sys/types.h>

/* The value of the kernel's word `ukl.NAME=…`, with which the host tells us things; NULL when there is none. */
const char *word(const char *name);

/* The second serial port; negative where there is none. */
extern int control;

/* Tells the host on the second serial port; a guest without one runs on in silence. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Where programs write, when that is not the console; negative when it is. */
extern int output;

/*
 * Opens a way for output as fast as the host's, if the host gives one; a process of its own calls `serve` for each port
 * that want_session names.
 */
void open_output(void (*serve)(unsigned number));

/* Waits until what programs have written is on its way to the host. */
void drain_output(void);

/* Waits until the host has it, and says how much that is; nothing may be written afterwards. */
void end_output(void);

/* Serves the port of this number with a further program; in a process of its own. */
void serve(unsigned number) __attribute__((noreturn));

/* Has the port of this number served; safe in a signal handler. */
void want_session(unsigned char number);

/* Wants a core file of this process alone, should it crash; none of the one before. */
void expect_core(pid_t pid);

/* What the kernel's helper does: keeps the core at standard input if it is of the process that is expected. */
int keep_core(const char *expected, const char *pid);

/* The core file that was kept, and its size; negative when there is none. */
int open_core(unsigned long long *size);

/* Opens a port of the host's, once its other end is there. */
int open_port(const char *path, int flags, short events);

/*
 * Raw: bytes pass as they are, but ^D (end of input) and ^V (takes the next
 * byte as it is). Cooked: a terminal with a person at it.
 */
void set_terminal(int fd, int raw);

/* Says on the console what failed, about what and why (errno). */
void complain(const char *what, const char *about);

/* Brings up the loopback and the first card, as the host says. */
void network(void);

/* Waits a while for connections that programs closed, until the other end has everything that was sent. */
void finish_sending(void);

/* What a network tells its member; zero where it says nothing. */
struct lease {
	struct in_addr address, mask, gateway, dns, server;
	unsigned seconds;
};

/*
 * Asks on the interface for a lease, or for more time of the one that `lease`
 * holds already; false when nobody answers or it is refused.
 */
int dhcp(const char *interface, struct lease *lease);

/*
 * Mounts the disks and shares that the host gave. False when one cannot be
 * mounted: a program would write to the RAM disk and lose it.
 */
int mount_storage(void);

/* Takes them off again once nobody uses them, with everything written. */
void unmount_storage(void);
