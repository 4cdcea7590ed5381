/* append FILE WORD [hang], show FILE, map FILE, tree DIR: says what failed, or what it found. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void show(const char *path)
{
    char bytes[4096];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);

    if (n < 0)
        die(path);
    printf("%.*s\n", (int)strnlen(bytes, n), bytes);
    close(fd);
}

static void append(const char *path, const char *word, int flags)
{
    int fd = open(path, O_WRONLY | O_APPEND | flags, 0644);

    if (fd < 0 || write(fd, word, strlen(word)) < 0 || close(fd) < 0)
        die(path);
}

/* A mapping that is shared with the file, read and written. */
static void map(const char *path)
{
    int fd = open(path, O_RDWR);
    char *bytes = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (bytes == MAP_FAILED)
        die(path);
    bytes[0] = 'M';
    if (munmap(bytes, 4096) || close(fd))
        die(path);
}

/* Many files, folders, links and names that change. */
static void tree(const char *dir)
{
    char path[256], to[256];
    struct stat facts;

    if (chdir(dir))
        die(dir);
    for (int i = 0; i < 100; i++) {
        sprintf(path, "d%d", i);
        sprintf(to, "d%d/f", i);
        if (mkdir(path, 0755))
            die(path);
        append(to, "x", O_CREAT | O_EXCL);
        sprintf(path, "moved%d", i);
        if (rename(to, path) || stat(path, &facts) || facts.st_size != 1)
            die(path);
    }
    if (symlink("moved1", "link") || stat("link", &facts) || unlink("moved2") || rmdir("d3"))
        die("links");
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";

    if (!strcmp(what, "append")) {
        append(argv[2], argv[3], O_CREAT);
        show(argv[2]);
    } else if (!strcmp(what, "show")) {
        show(argv[2]);
    } else if (!strcmp(what, "map")) {
        map(argv[2]);
    } else if (!strcmp(what, "tree")) {
        tree(argv[2]);
    } else {
        return 2;
    }
    if (argc > 4) {
        fflush(stdout);
        sync();
        puts("synchronised");
        fflush(stdout);
        for (;;)
            pause();
    }
    return 0;
}
