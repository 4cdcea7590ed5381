/* Takes a page fault for each page, and ends as it does only when none of them did harm. */
#include <stdio.h>
static volatile char pages[200][4096];
int main(void)
{
    int sum = 0;
    for (int i = 0; i < 200; i++)
        pages[i][i] = 1;
    for (int i = 0; i < 200; i++)
        sum += pages[i][i];
    puts(sum == 200 ? "here" : "harmed");
    return 5;
}
