// What a C++ compiler expects of a run-time library, as far as this program needs it.
#include <stdlib.h>

// One handle for the only object there is: destructors of globals are registered with it.
void *__dso_handle = nullptr;

extern "C" void __cxa_pure_virtual() { abort(); }

void *operator new(size_t size)
{
	void *memory = malloc(size);
	if (!memory)
		abort();
	return memory;
}

void *operator new[](size_t size) { return operator new(size); }
void operator delete(void *memory) noexcept { free(memory); }
void operator delete[](void *memory) noexcept { free(memory); }
void operator delete(void *memory, size_t) noexcept { free(memory); }
void operator delete[](void *memory, size_t) noexcept { free(memory); }
