/* Writes a mebibyte to standard output: bytes of every kind but line ends, which a serial console doubles. */
#include <unistd.h>

int main(void)
{
	static char block[1 << 20];
	char *from = block;
	size_t left = sizeof block;

	for (size_t i = 0; i < sizeof block; i++)
		block[i] = ' ' + i % 95;
	while (left > 0) {
		ssize_t n = write(1, from, left);
		if (n <= 0)
			return 1;
		from += n;
		left -= n;
	}
	return 0;
}
