/* Sections of its own, two sources and a library. */
#include <math.h>
#include <stdio.h>
int helper(double);
static int one __attribute__((section("set_of_mine"), used)) = 1;
static const int two __attribute__((section("constants.mine"), used)) = 2;
static int zero[64] __attribute__((section(".bss.mine"), used)), *more = zero;
extern int __start_set_of_mine[], __stop_set_of_mine[];
__attribute__((section("code.mine"), noinline)) int cold(int n) { return n + two; }
int main(int argc, char **argv)
{
	for (int *p = __start_set_of_mine; p < __stop_set_of_mine; p++)
		printf("%d %d\n", *p, cold(argc) + *more);
	return helper(sqrt(argc)) + one - 1;
}
