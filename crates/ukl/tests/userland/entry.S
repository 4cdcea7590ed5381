/* A stand-in for the kernel's entry, for one thread in ring 3: the convention of the real one,
 * with the return address kept where no second thread may come. */
	.globl	__ukl_syscall
	.type	__ukl_syscall, @function
__ukl_syscall:
	mov	%rcx, back
	incq	calls
	.byte	0x0f, 0x05
	jmp	*back
	.bss
	.balign	8
back:	.quad	0
	.globl	calls
calls:	.quad	0
	.section .note.GNU-stack, "", @progbits
