/* mimalloc in one object, and the name that it leaves to C libraries which have it. */
#include "static.c"

void *aligned_alloc(size_t alignment, size_t size)
{
	return mi_aligned_alloc(alignment, size);
}
