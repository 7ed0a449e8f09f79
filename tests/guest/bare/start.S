/* SPDX-License-Identifier: GPL-2.0-only */
/* How a guest starts, on each CPU, and its exception vectors. The MMU is off until C turns it on. */

#define FRAME_SIZE 288 /* struct frame of bare.h */

	.section .head, "ax"
	b	primary
	.long	0

	.text
primary:
	msr	daifset, #0xf
	mov	x19, x0			/* the device tree */
	bl	cpu_setup

	/* Words that hold addresses: add where we are to each. 1027 is R_AARCH64_RELATIVE. */
	adr	x1, _start
	adrp	x2, _rela_start
	add	x2, x2, :lo12:_rela_start
	adrp	x3, _rela_end
	add	x3, x3, :lo12:_rela_end
1:	cmp	x2, x3
	b.hs	2f
	ldp	x4, x5, [x2], #16
	ldr	x6, [x2], #8
	cmp	w5, #1027
	b.ne	1b
	add	x6, x6, x1
	str	x6, [x1, x4]
	b	1b

2:	adrp	x2, _bss_start
	adrp	x3, _bss_end
3:	cmp	x2, x3
	b.hs	4f
	stp	xzr, xzr, [x2], #16
	b	3b

4:	adrp	x2, boot_stack_top
	mov	sp, x2
	mov	x0, x19
	bl	bare_start
	b	.

	/* PSCI CPU_ON: x0 is the struct cpu, whose first member is the top of its stack. */
	.globl	secondary
secondary:
	msr	daifset, #0xf
	mov	x19, x0
	bl	cpu_setup
	ldr	x2, [x19]
	mov	sp, x2
	mov	x0, x19
	bl	bare_secondary
	b	.

cpu_setup:
	msr	spsel, #1
	adrp	x1, vectors
	add	x1, x1, :lo12:vectors
	msr	vbar_el1, x1
	mov	x1, #3 << 20		/* CPACR_EL1.FPEN: vector registers do not trap */
	msr	cpacr_el1, x1
	isb
	ret

	/* A call of an address that is expected to fault: void call(uint64_t address). */
	.globl	call
call:
	stp	x29, x30, [sp, #-16]!
	blr	x0
	.globl	call_returns
call_returns:
	ldp	x29, x30, [sp], #16
	ret

	.macro	vector, kind
	.balign	128
	sub	sp, sp, #FRAME_SIZE
	stp	x0, x1, [sp]
	mov	x0, #\kind
	b	enter
	.endm

	.section .vectors, "ax"
	.balign	2048
vectors:
	vector	0	/* with SP_EL0 */
	vector	1
	vector	2
	vector	3
	vector	4	/* at EL1: synchronous, IRQ, FIQ, SError */
	vector	5
	vector	6
	vector	7
	vector	8	/* from EL0 */
	vector	9
	vector	10
	vector	11
	vector	12	/* from EL0, 32-bit */
	vector	13
	vector	14
	vector	15

enter:
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
	mrs	x2, elr_el1
	stp	x30, x2, [sp, #240]
	mrs	x3, spsr_el1
	str	x3, [sp, #256]
	mov	x1, sp
	bl	bare_exception

	ldp	x30, x2, [sp, #240]
	ldr	x3, [sp, #256]
	msr	elr_el1, x2
	msr	spsr_el1, x3
	ldp	x28, x29, [sp, #224]
	ldp	x26, x27, [sp, #208]
	ldp	x24, x25, [sp, #192]
	ldp	x22, x23, [sp, #176]
	ldp	x20, x21, [sp, #160]
	ldp	x18, x19, [sp, #144]
	ldp	x16, x17, [sp, #128]
	ldp	x14, x15, [sp, #112]
	ldp	x12, x13, [sp, #96]
	ldp	x10, x11, [sp, #80]
	ldp	x8, x9, [sp, #64]
	ldp	x6, x7, [sp, #48]
	ldp	x4, x5, [sp, #32]
	ldp	x2, x3, [sp, #16]
	ldp	x0, x1, [sp]
	add	sp, sp, #FRAME_SIZE
	eret

	.section .bss
	.balign	4096
	.space	16384
boot_stack_top:
