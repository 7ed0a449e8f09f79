/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Byte buffers with explicit little-endian fields: the only way bytes get on disk or wire, and off it.
 *
 * Both kinds carry a sticky error: after the first failure every later call does nothing (a read gives zero), so a
 * decoder reads all of its fields and asks once. A reader never looks past its end. rbuf_done() also refuses bytes
 * that are left over.
 */
#ifndef LKVM_UTIL_BUF_H
#define LKVM_UTIL_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Growing writer. Memory belongs to the buffer until wbuf_release(). */
struct wbuf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max; /* growth past this fails with -E2BIG */
	int error;  /* 0 or the first negative errno */
};

void wbuf_init(struct wbuf *b, size_t max);
void wbuf_release(struct wbuf *b);
void wbuf_u8(struct wbuf *b, uint8_t v);
void wbuf_u16(struct wbuf *b, uint16_t v);
void wbuf_u32(struct wbuf *b, uint32_t v);
void wbuf_u64(struct wbuf *b, uint64_t v);
void wbuf_bytes(struct wbuf *b, const void *p, size_t len);
/* Room for @len bytes, counted as written, for the caller to write at once; NULL after an error. */
uint8_t *wbuf_room(struct wbuf *b, size_t len);
/* u16 length, then the bytes without NUL. Longer than 65535: -E2BIG. */
void wbuf_str(struct wbuf *b, const char *s);
/* Overwrites four bytes written before (a length known only later). */
void wbuf_patch_u32(struct wbuf *b, size_t at, uint32_t v);

/* Reader over bytes that belong to the caller. */
struct rbuf {
	const uint8_t *data;
	size_t len;
	size_t pos;
	int error; /* 0, or -EBADMSG after the first read past the end or refused value */
};

void rbuf_init(struct rbuf *b, const void *data, size_t len);
uint8_t rbuf_u8(struct rbuf *b);
uint16_t rbuf_u16(struct rbuf *b);
uint32_t rbuf_u32(struct rbuf *b);
uint64_t rbuf_u64(struct rbuf *b);
void rbuf_bytes(struct rbuf *b, void *p, size_t len); /* on error @p is zeroed */
/* Into @s with a NUL; a string of @size or more, or one with a NUL in it, is an error and gives "". */
void rbuf_str(struct rbuf *b, char *s, size_t size);
/* u32 length, then that many bytes: @part is over them. On error it is empty. */
void rbuf_part(struct rbuf *b, struct rbuf *part);
size_t rbuf_left(const struct rbuf *b);
int rbuf_done(struct rbuf *b); /* 0 if no error and nothing is left, else a negative errno */

#endif
