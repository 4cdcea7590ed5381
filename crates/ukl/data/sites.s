# Read by the assembler before every input: the mnemonics `syscall` and `hlt` become macros.
#
# A system call site is 12 bytes: a nop, the real instruction last, and a relocation that does
# nothing but name the site. In ring 3 it is an ordinary system call; for app mode the 12 bytes
# are rewritten in place. Either way the address behind the site is the return address.
# Being an operand or a label (`call syscall`, `syscall:`), the word is no mnemonic and stays.
	.macro syscall
	.weak	__ukl_syscall
	.reloc	., R_X86_64_NONE, __ukl_syscall
	.byte	0x66,0x2e,0x0f,0x1f,0x84,0,0,0,0,0
	.byte	0x0f,0x05
	.endm

# At CPL 0 `hlt` would sleep and go on; a C library means "die here". Reading a non-canonical
# address is a general protection fault, hence SIGSEGV, at either privilege level.
	.macro hlt
	.byte	0xa0
	.quad	0x8000000000000000
	.endm
