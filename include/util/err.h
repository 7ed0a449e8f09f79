/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Errors that travel up as values.
 *
 * A function that can fail returns 0 or a negative errno and takes a `struct err *` as its last argument (NULL is
 * allowed: the text is then dropped). The text is one line for a user: what failed, on what, and the way out. A
 * caller with context to add puts it in front with err_prefix(). The text is untouched on success.
 * Only main.c and builtin-*.c print it.
 */
#ifndef LKVM_UTIL_ERR_H
#define LKVM_UTIL_ERR_H

#include <stdbool.h>
#include <stddef.h>

struct err {
	char msg[512]; /* NUL-terminated; cut, never overrun, when longer */
	bool usage; /* the user's own words or files are wrong, nothing was started: exit code 2 */
};

#define ERR_INIT          \
	{                 \
		.msg = "" \
	}

/* Stores the text and returns @code (a negative errno), so that callers can `return err_set(...)`. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same, with ": " and the words for @code appended. */
int err_sys(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the text that is there. */
void err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
