/* Reads a file in a folder of the host, and writes its lines in capitals to another one there. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define QUESTION "/mnt/question.txt"
#define ANSWER "/mnt/answer.txt"

static FILE *open_file(const char *path, const char *how)
{
	FILE *file = fopen(path, how);

	if (!file) {
		perror(path);
		exit(1);
	}
	return file;
}

int main(void)
{
	FILE *question = open_file(QUESTION, "r"), *answer = open_file(ANSWER, "w");
	int c, lines = 0;

	while ((c = getc(question)) != EOF) {
		putchar(c);
		putc(toupper(c), answer);
		lines += c == '\n';
	}
	/* Data that did not reach the host is an error of the last call that has to do with the file. */
	if (ferror(question) || fclose(answer) != 0) {
		perror(ANSWER);
		return 1;
	}
	printf("%d lines answered\n", lines);
	return 0;
}
