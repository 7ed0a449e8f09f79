/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest without an operating system that does what it is told by keys on its first UART. It is linked to the start of
 * RAM and started as flat firmware (lkvm run -f). On start it prints "monitor BOOTED", then a line for each key:
 *
 *   c   counts: a line "N <number>" every 10 ms, until a key comes
 *   C   the same as fast as it can, with one look for a key after each line
 *   k   counts as c does, and says what comes meanwhile, each byte in a line "K <byte>", up to the byte 0x04
 *   e   echoes what comes, as it comes, up to the byte 0x04
 *   E   the same, but takes everything in first and gives it back at the byte 0x04
 *   p   prints 16 KiB: 256 lines of 64 bytes, each with its number; 16 bytes at a time, as the FIFO is deep
 *   s   spins for ever with interrupts off, never leaving to the host
 *   w   waits for an interrupt that never comes
 *   t   touches each page of the second MiB of RAM, again and again, until a key comes
 *   z   says whether that MiB is zero
 *   f   prints the first line of the flash at 32 MiB, writes to it, and prints it again
 *   r R PSCI SYSTEM_RESET, SYSTEM_RESET2
 *   o   PSCI SYSTEM_OFF
 */
#include <stdint.h>

#define UART	 0x1000000u
#define UART_FCR (UART + 2)
#define UART_LSR (UART + 5)
#define LSR_DR	 0x01
#define LSR_THRE 0x20

#define PSCI_SYSTEM_OFF	   0x84000008u
#define PSCI_SYSTEM_RESET  0x84000009u
#define PSCI_SYSTEM_RESET2 0xc4000012u

#define FLASH	   ((volatile uint8_t *)0x2000000)
#define BUFFER	   ((volatile uint8_t *)0x80400000)
#define BUFFER_MAX 0x100000u

__asm__(".section .start, \"ax\"\n"
	"	.globl	_start\n"
	"_start:\n"
	"	msr	daifset, #0xf\n"
	"	mov	x1, #3 << 20\n" /* CPACR_EL1.FPEN: a compiler may use vectors */
	"	msr	cpacr_el1, x1\n"
	"	isb\n"
	"	ldr	x1, =0x80300000\n"
	"	mov	sp, x1\n"
	"	bl	monitor\n"
	"1:	wfi\n"
	"	b	1b\n"
	".text\n");

static uint8_t in8(uint64_t address)
{
	return *(volatile uint8_t *)address;
}

static void put(uint8_t c)
{
	while (!(in8(UART_LSR) & LSR_THRE))
		;
	*(volatile uint8_t *)(uint64_t)UART = c;
}

static int has_key(void)
{
	return in8(UART_LSR) & LSR_DR;
}

static uint8_t get(void)
{
	while (!has_key())
		;
	return in8(UART);
}

static void print(const char *text)
{
	for (; *text; text++)
		put((uint8_t)*text);
}

static void print_number(uint64_t n, int digits)
{
	char text[24];
	int at = sizeof(text) - 1;

	text[at] = '\0';
	do {
		text[--at] = (char)('0' + n % 10);
		n /= 10;
		digits--;
	} while (n || digits > 0);
	print(text + at);
}

static uint64_t counter(void)
{
	uint64_t now;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(now));
	return now;
}

static uint64_t frequency(void)
{
	uint64_t hz;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz;
}

static void psci(uint64_t function)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = 0;
	register uint64_t x2 __asm__("x2") = 0;
	register uint64_t x3 __asm__("x3") = 0;

	__asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) : : "memory");
	print("PSCI came back\n");
}

static void count(uint64_t step)
{
	uint64_t next = counter();

	for (uint64_t n = 0; !has_key(); n++) {
		print("N ");
		print_number(n, 1);
		put('\n');
		/* Some looks for a key even when it is late: then it is plain that it polls for one. */
		for (int looks = step ? 10 : 0; (looks > 0 || counter() < next) && !has_key();
		     looks--)
			;
		next = counter() + step;
	}
}

static void count_and_listen(uint64_t step)
{
	uint64_t next = counter();

	for (uint64_t n = 0;; n++) {
		print("N ");
		print_number(n, 1);
		put('\n');
		for (next += step; counter() < next;) {
			uint8_t c;

			if (!has_key())
				continue;
			c = in8(UART);
			if (c == 4)
				return;
			print("K ");
			put(c);
			put('\n');
		}
		/* A guest that stood still has nothing to make up for. */
		next = counter();
	}
}

static void echo(void)
{
	for (uint8_t c = get(); c != 4; c = get())
		put(c);
}

static void echo_later(void)
{
	uint32_t n = 0;

	for (uint8_t c = get(); c != 4; c = get())
		if (n < BUFFER_MAX)
			BUFFER[n++] = c;
	for (uint32_t i = 0; i < n; i++)
		put(BUFFER[i]);
}

static void print_much(void)
{
	static const char text[] = " abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTU\n";

	for (uint32_t line = 0; line < 256; line++) {
		print_number(line, 5);
		for (unsigned int i = 0; i < sizeof(text) - 1; i++) {
			while (i % 16 == 0 && !(in8(UART_LSR) & LSR_THRE))
				;
			*(volatile uint8_t *)(uint64_t)UART = (uint8_t)text[i];
		}
	}
}

static void touch(void)
{
	do
		for (uint64_t at = 0x80100000; at < 0x80200000; at += 4096)
			*(volatile uint64_t *)at = at;
	while (!has_key());
}

static void print_flash(void)
{
	for (unsigned int i = 0; i < 80 && FLASH[i] >= ' '; i++)
		put(FLASH[i]);
	put('\n');
}

static void flash(void)
{
	print_flash();
	FLASH[0] = 'X';
	print_flash();
}

static void say_zero(void)
{
	uint64_t others = 0;

	for (uint64_t at = 0x80100000; at < 0x80200000; at += 8)
		others += *(volatile uint64_t *)at != 0;
	print(others ? "not zero\n" : "all zero\n");
}

void monitor(void)
{
	*(volatile uint8_t *)(uint64_t)UART_FCR = 7; /* FIFOs on, and empty */
	print("monitor BOOTED\n");
	for (;;) {
		uint8_t key = get();

		print("key ");
		put(key);
		put('\n');
		if (key == 'c')
			count(frequency() / 100);
		else if (key == 'C')
			count(0);
		else if (key == 'k')
			count_and_listen(frequency() / 100);
		else if (key == 'e')
			echo();
		else if (key == 'E')
			echo_later();
		else if (key == 'p')
			print_much();
		else if (key == 's')
			for (;;)
				__asm__ volatile("");
		else if (key == 'w')
			for (;;)
				__asm__ volatile("wfi");
		else if (key == 't')
			touch();
		else if (key == 'z')
			say_zero();
		else if (key == 'f')
			flash();
		else if (key == 'r')
			psci(PSCI_SYSTEM_RESET);
		else if (key == 'R')
			psci(PSCI_SYSTEM_RESET2);
		else if (key == 'o')
			psci(PSCI_SYSTEM_OFF);
		print("done\n");
	}
}
