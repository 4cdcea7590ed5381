//! x86-64 in objects: the bytes of a system call site and the relocations that go with it; its code is decoded below.

mod code;
pub mod scan;

use object::elf;

/// A site as compiled: a ten-byte nop, then the instruction, so that the address behind it is the return address.
pub const NATIVE: [u8; 12] = [0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x0f, 0x05];

/// A site as linked into the kernel: `lea 5(%rip),%rcx; jmp entry`; the jump's operand is left to a relocation.
pub const CALL: [u8; 12] = [0x48, 0x8d, 0x0d, 5, 0, 0, 0, 0xe9, 0, 0, 0, 0];

/// `hlt`.
pub(crate) const HALT: u8 = 0xf4;
/// No instruction of 64-bit mode: an invalid opcode, hence SIGILL.
pub(crate) const UNDEFINED: u8 = 0x06;

/// The jump's operand within [`CALL`].
pub(crate) const OPERAND: u64 = 8;

/// The relocation that marks a site and does nothing.
pub(crate) const MARK: elf::RelocationType = elf::R_X86_64_NONE;

/// The relocation of the jump's operand.
pub(crate) const JUMP: elf::RelocationType = elf::R_X86_64_PLT32;

/// What is added to the jump's target: an operand counts from the instruction's end.
pub(crate) const JUMP_ADDEND: i64 = -4;
