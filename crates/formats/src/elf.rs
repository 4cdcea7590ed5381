//! Facts about ELF objects: sections, symbols, sizes.
