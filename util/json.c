/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/json.h"

void json_init(struct json *j, struct wbuf *out)
{
	*j = (struct json){.out = out};
}

static void put(struct json *j, const char *text)
{
	wbuf_bytes(j->out, text, strlen(text));
}

static void fail(struct json *j, int error)
{
	if (!j->out->error)
		j->out->error = error;
}

/*
 * Length of the UTF-8 sequence that starts at @s (RFC 3629: shortest form only, no surrogates, up to
 * U+10FFFF), or 0. Stops at the final NUL, since that continues no sequence.
 */
static size_t utf8_len(const unsigned char *s)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;

	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;

	for (size_t i = 1; i < len; i++) {
		if (s[i] < low || s[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return len;
}

static void put_string(struct json *j, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;
	char escape[8];
	size_t len;

	put(j, "\"");
	for (; *s; s += len ? len : 1) {
		len = utf8_len(s);
		if (!len) {
			put(j, "\xef\xbf\xbd"); /* U+FFFD */
		} else if (*s == '"' || *s == '\\') {
			put(j, *s == '"' ? "\\\"" : "\\\\");
		} else if (*s == '\n') {
			put(j, "\\n");
		} else if (*s == '\t') {
			put(j, "\\t");
		} else if (*s == '\r') {
			put(j, "\\r");
		} else if (*s < 0x20 || *s == 0x7f) {
			(void)snprintf(escape, sizeof(escape), "\\u%04x", *s);
			put(j, escape);
		} else {
			wbuf_bytes(j->out, s, len);
		}
	}
	put(j, "\"");
}

/* Everything that comes in front of a value. False if no value may stand here. */
static bool before_value(struct json *j, const char *key)
{
	bool in_object = j->depth && j->close[j->depth - 1] == '}';

	if (in_object != (key != NULL)) {
		fail(j, -EINVAL);
		return false;
	}
	if (j->depth) {
		if (!j->first[j->depth - 1])
			put(j, ",");
		j->first[j->depth - 1] = false;
	}
	if (key) {
		put_string(j, key);
		put(j, ":");
	}
	return true;
}

static void after_value(struct json *j)
{
	if (!j->depth)
		put(j, "\n");
}

static void begin(struct json *j, const char *key, char open, char close)
{
	if (j->depth == JSON_DEPTH) {
		fail(j, -E2BIG);
		return;
	}
	if (!before_value(j, key))
		return;
	wbuf_u8(j->out, (uint8_t)open);
	j->first[j->depth] = true;
	j->close[j->depth++] = close;
}

void json_object(struct json *j, const char *key)
{
	begin(j, key, '{', '}');
}

void json_array(struct json *j, const char *key)
{
	begin(j, key, '[', ']');
}

void json_end(struct json *j)
{
	if (!j->depth) {
		fail(j, -EINVAL);
		return;
	}
	wbuf_u8(j->out, (uint8_t)j->close[--j->depth]);
	after_value(j);
}

void json_str(struct json *j, const char *key, const char *value)
{
	if (!before_value(j, key))
		return;
	if (value)
		put_string(j, value);
	else
		put(j, "null");
	after_value(j);
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
	char text[24];

	if (!before_value(j, key))
		return;
	(void)snprintf(text, sizeof(text), "%" PRIu64, value);
	put(j, text);
	after_value(j);
}

void json_bool(struct json *j, const char *key, bool value)
{
	if (!before_value(j, key))
		return;
	put(j, value ? "true" : "false");
	after_value(j);
}
