/*
 * What is kept of a program that crashed: a core file with its registers,
 * stacks and first data, small enough for any machine. The kernel starts this
 * as a helper, and gives it the whole of the dump; init sends the rest to the
 * host behind the program's last output.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

#define KEPT "/run/ukl.core"
#define PATTERN "/proc/sys/kernel/core_pattern"

/* How much is kept of each stack, and of all other memory together. */
#define STACK (256 << 10)
#define DATA (1 << 20)
#define PAGE 4096UL
#define SEGMENTS 8192
#define THREADS 256

static Elf64_Phdr from[SEGMENTS], to[SEGMENTS];
static unsigned long stacks[THREADS];
static unsigned threads;

void expect_core(pid_t pid)
{
	int fd = output < 0 ? -1 : open(PATTERN, O_WRONLY | O_CLOEXEC);

	unlink(KEPT);
	if (fd < 0)
		return;
	/* Of other processes' ends nobody asks. */
	dprintf(fd, "|/init core %d %%P", (int)pid);
	close(fd);
}

static int get(void *to, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = read(0, (char *)to + done, length - done);

		if (n == 0 || (n < 0 && errno != EINTR))
			return 0;
		done += n > 0 ? n : 0;
	}
	return 1;
}

static int put(int fd, const void *from, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = write(fd, (const char *)from + done, length - done);

		if (n < 0 && errno != EINTR)
			return 0;
		done += n > 0 ? n : 0;
	}
	return 1;
}

/* Passes on `length` bytes, or only reads them (fd negative). */
static int pass(int fd, unsigned long length)
{
	static char bytes[1 << 14];

	while (length > 0) {
		size_t some = length < sizeof bytes ? length : sizeof bytes;

		if (!get(bytes, some) || (fd >= 0 && !put(fd, bytes, some)))
			return 0;
		length -= some;
	}
	return 1;
}

/* Finds the stack pointers of all threads. */
static void find_stacks(const char *notes, size_t size)
{
	for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= size && threads < THREADS;) {
		const Elf64_Nhdr *note = (const void *)(notes + at);
		size_t name = at + sizeof *note, desc = name + ((note->n_namesz + 3) & ~3UL);

		at = desc + ((note->n_descsz + 3) & ~3UL);
		if (note->n_type != NT_PRSTATUS || at > size || note->n_descsz < sizeof(struct elf_prstatus))
			continue;
		const struct elf_prstatus *status = (const void *)(notes + desc);
		/* The 19th register is the stack pointer (struct user_regs_struct). */
		stacks[threads++] = status->pr_reg[19];
	}
}

/* Decides what is kept of a segment: `to` gets what the file then says. */
static void choose(const Elf64_Phdr *from, Elf64_Phdr *to, unsigned long *left)
{
	unsigned long begin = from->p_vaddr, end = begin + from->p_filesz, limit;

	*to = *from;
	to->p_filesz = 0;
	for (unsigned i = 0; i < threads; i++) {
		/* What lies a red zone below is still in use. */
		unsigned long low = (stacks[i] - 128) & ~(PAGE - 1);

		if (stacks[i] < begin || stacks[i] >= end)
			continue;
		begin = low > begin ? low : begin;
		limit = begin + STACK;
		to->p_vaddr = begin;
		to->p_filesz = to->p_memsz = (end < limit ? end : limit) - begin;
		return;
	}
	if (!(from->p_flags & PF_W))
		return;
	to->p_filesz = from->p_filesz < *left ? from->p_filesz : *left;
	*left -= to->p_filesz;
}

/* The dump comes in at standard input; what is kept goes to `fd`. */
static int keep(int fd)
{
	Elf64_Ehdr head;
	char *notes = NULL;
	unsigned long at, out, left = DATA;

	if (!get(&head, sizeof head) || head.e_phnum == PN_XNUM || head.e_phnum > SEGMENTS ||
	    head.e_phoff != sizeof head || !get(from, head.e_phnum * sizeof *from))
		return 0;
	at = sizeof head + head.e_phnum * sizeof *from;
	/* The notes come first. */
	if (head.e_phnum == 0 || from[0].p_type != PT_NOTE || from[0].p_offset < at)
		return 0;
	notes = malloc(from[0].p_filesz);
	if (!notes || !pass(-1, from[0].p_offset - at) || !get(notes, from[0].p_filesz))
		return 0;
	out = from[0].p_offset;
	at = from[0].p_offset + from[0].p_filesz;
	find_stacks(notes, from[0].p_filesz);
	to[0] = from[0];
	out += from[0].p_filesz;
	for (unsigned i = 1; i < head.e_phnum; i++) {
		choose(&from[i], &to[i], &left);
		to[i].p_offset = out;
		to[i].p_align = 1;
		out += to[i].p_filesz;
	}
	head.e_shoff = head.e_shnum = head.e_shstrndx = 0;
	if (!put(fd, &head, sizeof head) || !put(fd, to, head.e_phnum * sizeof *to) ||
	    lseek(fd, from[0].p_offset, SEEK_SET) < 0 || !put(fd, notes, from[0].p_filesz))
		return 0;
	for (unsigned i = 1; i < head.e_phnum; i++) {
		unsigned long skip = to[i].p_vaddr - from[i].p_vaddr;

		if (from[i].p_filesz == 0)
			continue;
		if (from[i].p_offset < at || !pass(-1, from[i].p_offset - at + skip) || !pass(fd, to[i].p_filesz) ||
		    !pass(-1, from[i].p_filesz - skip - to[i].p_filesz))
			return 0;
		at = from[i].p_offset + from[i].p_filesz;
	}
	return 1;
}

int keep_core(const char *expected, const char *pid)
{
	int fd = strcmp(expected, pid) ? -1 : open(KEPT, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return 1;
	if (keep(fd))
		return 0;
	unlink(KEPT);
	return 1;
}

int open_core(unsigned long long *size)
{
	struct stat facts;
	int fd = open(KEPT, O_RDONLY | O_CLOEXEC);

	*size = fd >= 0 && !fstat(fd, &facts) ? facts.st_size : 0;
	return fd;
}
