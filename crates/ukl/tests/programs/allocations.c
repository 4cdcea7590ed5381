/* Four threads take, check and give back memory in a fixed order; then one aligned block. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT 256

static void *work(void *seed)
{
	unsigned int x = (uintptr_t)seed;
	unsigned char *kept[KEPT] = { 0 };

	for (int i = 0; i < 20000; i++) {
		unsigned int at, size;

		x = x * 1103515245 + 12345;
		at = x >> 24;
		size = (x >> 10 & 0x3fff) + 16;
		for (int j = 0; kept[at] && j < 16; j++)
			if (kept[at][j] != at)
				return NULL;
		kept[at] = realloc(kept[at], size);
		memset(kept[at], at, size);
	}
	for (int i = 0; i < KEPT; i++)
		free(kept[i]);
	return seed;
}

int main(void)
{
	pthread_t threads[4];
	int right = 0;
	void *block;

	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, work, (void *)(i + 1));
	for (int i = 0; i < 4; i++) {
		void *seed = NULL;

		pthread_join(threads[i], &seed);
		right += seed != NULL;
	}
	block = aligned_alloc(4096, 8192);
	printf("%d right, %d off\n", right, (int)((uintptr_t)block % 4096));
	free(block);
	return 0;
}
