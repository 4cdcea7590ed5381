/* Shows what a program is given: arguments, environment, one line of input; exits with 42. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
	char line[200];

	setvbuf(stdout, 0, _IOLBF, 0); /* Both outputs in order, wherever they go. */
	for (int i = 1; i < argc; i++)
		printf("argv[%d] = [%s]\n", i, argv[i]);
	printf("argv ends with null: %s\n", argv[argc] ? "no" : "yes");
	printf("GREETING = [%s]\n", getenv("GREETING") ? getenv("GREETING") : "unset");
	printf("EMPTY = [%s]\n", getenv("EMPTY") ? getenv("EMPTY") : "unset");
	setenv("ADDED", "later", 1);
	printf("ADDED = [%s]\n", getenv("ADDED"));
	printf("page size %lu, uid agrees: %s\n", getauxval(AT_PAGESZ),
	       getauxval(AT_UID) == getuid() ? "yes" : "no");
	if (argc > 1 && !strcmp(argv[argc - 1], "-")) {
		if (!fgets(line, sizeof line, stdin))
			return 1;
		line[strcspn(line, "\r\n")] = 0;
		printf("stdin = [%s]\n", line);
	}
	fprintf(stderr, "this line went to standard error\n");
	return 42;
}
