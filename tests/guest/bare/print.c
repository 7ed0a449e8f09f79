/* SPDX-License-Identifier: GPL-2.0-only */
/* Output on the first UART, and TAP. */
#include <stdarg.h>

#include "bare.h"

#define UART_THR 0
#define UART_LSR 5
#define LSR_THRE 0x20

static uint32_t planned, done, failed;

void put_char(char c)
{
	uint64_t uart = board.uarts ? board.uart[0] : 0x1000000;

	while (!(in8(uart + UART_LSR) & LSR_THRE))
		;
	out8(uart + UART_THR, (uint8_t)c);
}

static void put_str(const char *s)
{
	for (; *s; s++) {
		if (*s == '\n')
			put_char('\r');
		put_char(*s);
	}
}

static void put_number(uint64_t value, unsigned int base, unsigned int width, char fill, bool minus)
{
	char text[24];
	unsigned int n = 0;

	do {
		text[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (minus)
		text[n++] = '-';
	while (n < width && n < sizeof(text))
		text[n++] = fill;
	while (n)
		put_char(text[--n]);
}

static void vprint(const char *f, va_list ap)
{
	for (; *f; f++) {
		unsigned int width = 0, longs = 0;
		char fill = ' ';
		int64_t number;

		if (*f != '%') {
			const char s[2] = {*f, 0};

			put_str(s);
			continue;
		}
		f++;
		if (*f == '0')
			fill = '0';
		for (; *f >= '0' && *f <= '9'; f++)
			width = width * 10 + (unsigned int)(*f - '0');
		for (; *f == 'l'; f++)
			longs++;
		switch (*f) {
		case 's':
			put_str(va_arg(ap, const char *));
			break;
		case 'c':
			put_char((char)va_arg(ap, int));
			break;
		case 'd':
			number = longs ? va_arg(ap, int64_t) : va_arg(ap, int);
			put_number(number < 0 ? -(uint64_t)number : (uint64_t)number, 10, width,
				   fill, number < 0);
			break;
		case 'u':
		case 'x':
			put_number(longs ? va_arg(ap, uint64_t) : va_arg(ap, uint32_t),
				   *f == 'x' ? 16 : 10, width, fill, false);
			break;
		default:
			put_char(*f);
		}
	}
}

void print(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vprint(format, ap);
	va_end(ap);
}

void plan(uint32_t n)
{
	planned = n;
	done = failed = 0;
	print("1..%u\n", n);
}

bool ok(bool passed, const char *format, ...)
{
	va_list ap;

	failed += !passed;
	print("%sok %u - ", passed ? "" : "not ", ++done);
	va_start(ap, format);
	vprint(format, ap);
	va_end(ap);
	print("\n");
	return passed;
}

void skip(uint32_t n, const char *why)
{
	while (n--)
		print("ok %u # SKIP %s\n", ++done, why);
}

bool all_passed(void)
{
	return !failed && done == planned;
}

void power_off(void)
{
	if (planned)
		print("# %s\n", all_passed() ? "passed" : "FAILED");
	for (;;)
		hvc(PSCI_SYSTEM_OFF, 0, 0, 0);
}

void bail_out(const char *format, ...)
{
	va_list ap;

	print("\nBail out! ");
	va_start(ap, format);
	vprint(format, ap);
	va_end(ap);
	print("\n");
	for (;;)
		hvc(PSCI_SYSTEM_OFF, 0, 0, 0);
}
