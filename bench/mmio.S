/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest without an operating system: does one thing that traps again and again, says in hexadecimal how many counter
 * ticks that took, does the next, and powers off. Made once for each VMM, which differ in their addresses:
 *   UART       the register that is read, UART_LOAD how; UART_OUT is where a character goes
 *   NOWHERE    an address where no device is
 *   GICD       the interrupt controller's distributor
 * The header is that of Documentation/arch/arm64/booting.rst; everything is in registers, so it runs anywhere.
 */
#define TURNS 4000

	.macro	timed, letter, what:vararg
	mov	w25, #TURNS
	isb
	mrs	x26, cntvct_el0
1:	\what
	subs	w25, w25, #1
	b.ne	1b
	isb
	mrs	x27, cntvct_el0
	sub	x0, x27, x26
	mov	w1, #\letter
	bl	say
	.endm

	.text
	.globl	_start
_start:
	b	main
	.long	0
	.quad	0		/* text offset */
	.quad	0x10000		/* image size */
	.quad	0xa		/* little-endian, 4 KiB pages, anywhere */
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0

main:
	ldr	x20, =UART
	ldr	x21, =NOWHERE
	ldr	x22, =GICD
	ldr	x23, =UART_OUT
	mrs	x0, cntfrq_el0
	mov	w1, #'f'
	bl	say
	mov	x0, #TURNS
	mov	w1, #'t'
	bl	say
	timed	'l', nop
	timed	'u', UART_LOAD w0, [x20]
	timed	'n', ldr w0, [x21]
	timed	'g', ldr w0, [x22]
	timed	'h', bl psci_version
	ldr	x0, =0x84000008	/* SYSTEM_OFF */
	hvc	#0
	b	.

psci_version:
	ldr	x0, =0x84000000
	hvc	#0
	ret

	/* The letter in w1, then x0 in 16 digits, then a line feed. */
say:
	strb	w1, [x23]
	mov	w2, #16
2:	ror	x0, x0, #60
	and	w3, w0, #0xf
	add	w4, w3, #'0'
	add	w5, w3, #'a' - 10
	cmp	w3, #10
	csel	w4, w4, w5, lo
	strb	w4, [x23]
	subs	w2, w2, #1
	b.ne	2b
	mov	w1, #'\n'
	strb	w1, [x23]
	ret
	.ltorg
