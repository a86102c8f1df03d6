/* vfork returns twice on one stack, so no C function can wrap it: the child would return from our frame, and the parent would
 * find it overwritten. As libc does, we keep the return address in a register across the system call; in memory, both would
 * share it. */
#include "calls/vfork.h"

#include "process/children.h"
#include "process/real.h"

#include <errno.h>

_Thread_local int vfork_depth __attribute__((tls_model("initial-exec")));

/* Called from the assembly below, and for clone. The parent's thread sleeps until the child has executed or exited, so the
 * child can use this thread's variables. */
__attribute__((used)) void vfork_begins(void)
{
	child_begins();
	vfork_depth++;
}

void vfork_ends(void)
{
	vfork_depth--;
	child_made(0);
}

__attribute__((used)) static long vfork_ended(long result)
{
	vfork_ends();
	if (result < 0) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

#if defined(__x86_64__)
__asm__(
    ".pushsection .text\n"
    ".globl vfork\n"
    ".type vfork, @function\n"
    "vfork:\n"
    "	.cfi_startproc\n"
    "	sub $8, %rsp\n"
    "	.cfi_adjust_cfa_offset 8\n"
    "	call vfork_begins\n"
    "	add $8, %rsp\n"
    "	.cfi_adjust_cfa_offset -8\n"
    "	pop %rdi\n"
    "	.cfi_adjust_cfa_offset -8\n"
    "	mov $58, %eax\n" /* SYS_vfork */
    "	syscall\n"
    "	push %rdi\n"
    "	.cfi_adjust_cfa_offset 8\n"
    "	test %rax, %rax\n"
    "	je 1f\n"
    "	mov %rax, %rdi\n"
    "	jmp vfork_ended\n"
    "1:	ret\n"
    "	.cfi_endproc\n"
    ".size vfork, .-vfork\n"
    ".popsection\n");
#elif defined(__aarch64__)
__asm__(
    ".pushsection .text\n"
    ".globl vfork\n"
    ".type vfork, %function\n"
    "vfork:\n"
    "	.cfi_startproc\n"
    "	stp x29, x30, [sp, #-16]!\n"
    "	bl vfork_begins\n"
    "	ldp x29, x30, [sp], #16\n"
    "	mov x0, #0x4111\n" /* CLONE_VM | CLONE_VFORK | SIGCHLD; x30 is the child's own register */
    "	mov x1, sp\n"
    "	mov x8, #220\n" /* SYS_clone */
    "	svc #0\n"
    "	cbz x0, 1f\n"
    "	b vfork_ended\n"
    "1:	ret\n"
    "	.cfi_endproc\n"
    ".size vfork, .-vfork\n"
    ".popsection\n");
#else
/* On other architectures vfork is fork, as POSIX allows. */
INTERPOSE pid_t vfork(void)
{
	(void)vfork_ended;
	return fork();
}
#endif
