//! System call sites: `syscall` → `lea; jmp`, in place.
