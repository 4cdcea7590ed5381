/* Says its name, arguments, environment and a line of its input, and ends as its argument wants. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char line[100] = "";
    printf("%s:", argv[0]);
    for (int i = 1; i < argc; i++)
        printf(" [%s]", argv[i]);
    printf("\nHOME=%s MINE=%s USER=%s\n", getenv("HOME"), getenv("MINE"), getenv("USER") ? "kept" : "none");
    if (fgets(line, sizeof line, stdin))
        printf("read %s", line);
    fflush(stdout);
    if (argc > 1 && !strcmp(argv[1], "abort"))
        abort();
    if (argc > 1 && !strcmp(argv[1], "hang"))
        pause();
    return argc > 1 ? atoi(argv[1]) : 0;
}
