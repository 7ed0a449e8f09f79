/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * JSON out, for --json: one compact value a line, into a wbuf. Commas and quotes are the writer's work; strings are
 * escaped, and bytes that are not UTF-8 come out as U+FFFD so that the output always parses. A value at the top is
 * followed by a newline. Misuse (a key in an array, none in an object, too deep) is a sticky error of the wbuf.
 */
#ifndef LKVM_UTIL_JSON_H
#define LKVM_UTIL_JSON_H

#include "util/buf.h"

#define JSON_DEPTH 16

struct json {
	struct wbuf *out;
	unsigned int depth;
	bool first[JSON_DEPTH]; /* no comma before the next member */
	char close[JSON_DEPTH]; /* '}' or ']' */
};

void json_init(struct json *j, struct wbuf *out);
/* @key is NULL inside an array and at the top. */
void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
void json_end(struct json *j); /* closes the innermost of the two */
void json_str(struct json *j, const char *key, const char *value); /* NULL: null */
void json_u64(struct json *j, const char *key, uint64_t value);
void json_bool(struct json *j, const char *key, bool value);

#endif
