/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"

#define WBUF_FIRST 256 /* bytes of the first allocation */

void wbuf_init(struct wbuf *b, size_t max)
{
	*b = (struct wbuf){.max = max};
}

void wbuf_release(struct wbuf *b)
{
	free(b->data);
	wbuf_init(b, b->max);
}

uint8_t *wbuf_room(struct wbuf *b, size_t len)
{
	uint8_t *at;

	if (b->error)
		return NULL;
	if (len > b->max - b->len) {
		b->error = -E2BIG;
		return NULL;
	}
	if (len > b->cap - b->len) {
		size_t need = b->len + len, cap = b->cap ? b->cap : WBUF_FIRST;
		uint8_t *data;

		while (cap < need && cap <= b->max / 2)
			cap *= 2;
		if (cap < need || cap > b->max)
			cap = b->max;
		data = realloc(b->data, cap);
		if (!data) {
			b->error = -ENOMEM;
			return NULL;
		}
		b->data = data;
		b->cap = cap;
	}
	at = b->data + b->len;
	b->len += len;
	return at;
}

static void put_le(uint8_t *at, uint64_t v, size_t width)
{
	for (size_t i = 0; i < width; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

static void wbuf_le(struct wbuf *b, uint64_t v, size_t width)
{
	uint8_t *at = wbuf_room(b, width);

	if (at)
		put_le(at, v, width);
}

void wbuf_u8(struct wbuf *b, uint8_t v)
{
	wbuf_le(b, v, 1);
}

void wbuf_u16(struct wbuf *b, uint16_t v)
{
	wbuf_le(b, v, 2);
}

void wbuf_u32(struct wbuf *b, uint32_t v)
{
	wbuf_le(b, v, 4);
}

void wbuf_u64(struct wbuf *b, uint64_t v)
{
	wbuf_le(b, v, 8);
}

void wbuf_bytes(struct wbuf *b, const void *p, size_t len)
{
	uint8_t *at;

	if (!len) /* @p may be NULL then */
		return;
	at = wbuf_room(b, len);
	if (at)
		memcpy(at, p, len);
}

void wbuf_str(struct wbuf *b, const char *s)
{
	size_t len = strlen(s);

	if (len > UINT16_MAX) {
		if (!b->error)
			b->error = -E2BIG;
		return;
	}
	wbuf_u16(b, (uint16_t)len);
	wbuf_bytes(b, s, len);
}

void wbuf_patch_u32(struct wbuf *b, size_t at, uint32_t v)
{
	if (b->error)
		return;
	if (at > b->len || b->len - at < 4) {
		b->error = -EINVAL;
		return;
	}
	put_le(b->data + at, v, 4);
}

void rbuf_init(struct rbuf *b, const void *data, size_t len)
{
	*b = (struct rbuf){.data = data, .len = len};
}

/* The next @len bytes, or NULL after an error. */
static const uint8_t *rbuf_take(struct rbuf *b, size_t len)
{
	const uint8_t *at;

	if (b->error)
		return NULL;
	if (len > b->len - b->pos) {
		b->error = -EBADMSG;
		return NULL;
	}
	at = b->data + b->pos;
	b->pos += len;
	return at;
}

static uint64_t rbuf_le(struct rbuf *b, size_t width)
{
	const uint8_t *at = rbuf_take(b, width);
	uint64_t v = 0;

	for (size_t i = 0; at && i < width; i++)
		v |= (uint64_t)at[i] << (8 * i);
	return v;
}

uint8_t rbuf_u8(struct rbuf *b)
{
	return (uint8_t)rbuf_le(b, 1);
}

uint16_t rbuf_u16(struct rbuf *b)
{
	return (uint16_t)rbuf_le(b, 2);
}

uint32_t rbuf_u32(struct rbuf *b)
{
	return (uint32_t)rbuf_le(b, 4);
}

uint64_t rbuf_u64(struct rbuf *b)
{
	return rbuf_le(b, 8);
}

void rbuf_bytes(struct rbuf *b, void *p, size_t len)
{
	const uint8_t *at;

	if (!len) /* @p and the data may be NULL then */
		return;
	at = rbuf_take(b, len);
	if (at)
		memcpy(p, at, len);
	else
		memset(p, 0, len);
}

void rbuf_str(struct rbuf *b, char *s, size_t size)
{
	size_t len = rbuf_u16(b);
	const uint8_t *at;

	if (size)
		s[0] = '\0';
	if (!b->error && len >= size)
		b->error = -EBADMSG;
	if (!len)
		return;
	at = rbuf_take(b, len);
	if (!at)
		return;
	if (memchr(at, '\0', len)) {
		b->error = -EBADMSG;
		return;
	}
	memcpy(s, at, len);
	s[len] = '\0';
}

void rbuf_part(struct rbuf *b, struct rbuf *part)
{
	uint32_t len = rbuf_u32(b);

	if (len > rbuf_left(b))
		b->error = -EBADMSG;
	if (b->error)
		len = 0;
	rbuf_init(part, b->data + b->pos, len);
	b->pos += len;
}

size_t rbuf_left(const struct rbuf *b)
{
	return b->error ? 0 : b->len - b->pos;
}

int rbuf_done(struct rbuf *b)
{
	if (!b->error && b->pos != b->len)
		b->error = -EBADMSG;
	return b->error;
}
