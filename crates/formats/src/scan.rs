//! Disassembly-free scan of code for system call instructions and red-zone use.
