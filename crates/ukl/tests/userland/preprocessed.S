#include <sys/syscall.h>
	.globl	from_preprocessed
	.type	from_preprocessed, @function
from_preprocessed:
	mov	$SYS_getpid, %edi
	jmp	syscall			# the C function, not the instruction
	.section .note.GNU-stack, "", @progbits
