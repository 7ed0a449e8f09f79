/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/err.h"

/*
 * File names and values given by users end up in messages. A message is one line on a terminal, so
 * what could move the cursor or start a new line is shown as '?'.
 */
static void one_line(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

/* Into a text of its own first: the arguments may point into the message that is replaced. */
static void __attribute__((format(printf, 3, 0)))
format_text(char *text, size_t size, const char *fmt, va_list ap)
{
	text[0] = '\0';
	(void)vsnprintf(text, size, fmt, ap);
	one_line(text);
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	char text[sizeof(err->msg)];
	va_list ap;

	if (!err)
		return code;

	va_start(ap, fmt);
	format_text(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(err->msg, text, sizeof(text));
	return code;
}

/* Front and back with ": " between them, cut at the size of a message. */
static void join(struct err *err, const char *front, const char *back)
{
	const char *parts[] = {front, ": ", back};
	size_t len = 0;

	for (unsigned int i = 0; i < 3; i++) {
		size_t n = strnlen(parts[i], sizeof(err->msg) - 1 - len);

		memcpy(err->msg + len, parts[i], n);
		len += n;
	}
	err->msg[len] = '\0';
}

int err_sys(struct err *err, int code, const char *fmt, ...)
{
	/* No locale is ever set, so that glibc (2.32 and later) keeps no shared buffer here. */
	const char *words = strerror(code < 0 ? -code : code);
	char text[sizeof(err->msg)];
	va_list ap;

	if (!err)
		return code;

	/* When it is too long, the text is cut and not the reason. */
	va_start(ap, fmt);
	format_text(text, sizeof(text) - strlen(words) - 2, fmt, ap);
	va_end(ap);
	join(err, text, words);
	return code;
}

void err_prefix(struct err *err, const char *fmt, ...)
{
	char text[sizeof(err->msg)], old[sizeof(err->msg)];
	va_list ap;

	if (!err)
		return;

	va_start(ap, fmt);
	format_text(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(old, err->msg, sizeof(old));
	join(err, text, old);
}
