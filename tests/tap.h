/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TAP for test programs that are one static file: they run under user-mode QEMU and in machines that hold nothing
 * but an initrd, where Debian's cmocka, a shared library, is not. One struct tap a program, on main()'s stack.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

struct tap {
	unsigned int count, failed;
};

static inline void tap_line(const char *before, const char *fmt, va_list ap)
{
	fputs(before, stdout);
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
}

/* One test. Returns @ok. */
static inline bool __attribute__((format(printf, 3, 4)))
tap_ok(struct tap *tap, bool ok, const char *fmt, ...)
{
	char before[32];
	va_list ap;

	tap->failed += !ok;
	snprintf(before, sizeof(before), "%s %u - ", ok ? "ok" : "not ok", ++tap->count);
	va_start(ap, fmt);
	tap_line(before, fmt, ap);
	va_end(ap);
	return ok;
}

static inline void __attribute__((format(printf, 2, 3)))
tap_note(struct tap *tap, const char *fmt, ...)
{
	va_list ap;

	(void)tap;
	va_start(ap, fmt);
	tap_line("# ", fmt, ap);
	va_end(ap);
}

/* A test that cannot be run here, and why. */
static inline void tap_skip(struct tap *tap, const char *name, const char *why)
{
	printf("ok %u - %s # SKIP %s\n", ++tap->count, name, why);
	fflush(stdout);
}

/* The whole program cannot be run here. Returns main()'s value. */
static inline int tap_skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	return 0;
}

/* The plan, at the end. Returns main()'s value. */
static inline int tap_end(const struct tap *tap)
{
	printf("1..%u\n", tap->count);
	return tap->failed != 0;
}

#endif
