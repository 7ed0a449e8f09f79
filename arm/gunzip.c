/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "arm/gunzip.h"
#include "util/io.h"

#define GUNZIP_INPUT (128 * 1024)

struct gunzip {
	z_stream z;
	int fd;
	uint64_t next; /* file offset of the next read */
	uint64_t end;
	enum { MEMBER, BETWEEN, PADDING } where;
	uint8_t input[GUNZIP_INPUT];
};

int gunzip_open(int fd, uint64_t offset, uint64_t size, struct gunzip **out, struct err *err)
{
	struct gunzip *g = malloc(sizeof(*g));

	if (!g)
		return err_sys(err, -ENOMEM, "no memory to unpack gzip data");
	memset(&g->z, 0, sizeof(g->z));
	g->fd = fd;
	g->next = offset;
	g->end = offset + size;
	g->where = MEMBER;
	/* 16: a gzip header and trailer, not zlib's own; 15: the largest window. */
	if (inflateInit2(&g->z, 16 + 15) != Z_OK) {
		free(g);
		return err_sys(err, -ENOMEM, "no memory to unpack gzip data");
	}
	*out = g;
	return 0;
}

void gunzip_close(struct gunzip *g)
{
	if (!g)
		return;
	(void)inflateEnd(&g->z);
	free(g);
}

/* More input, if there is some. */
static int refill(struct gunzip *g, struct err *err)
{
	uint64_t n = g->end - g->next;
	int rc;

	if (g->z.avail_in || !n)
		return 0;
	if (n > sizeof(g->input))
		n = sizeof(g->input);
	rc = io_pread_full(g->fd, g->input, n, g->next);
	if (rc)
		return err_sys(err, rc, "reading %" PRIu64 " bytes at offset %" PRIu64, n, g->next);
	g->next += n;
	g->z.next_in = g->input;
	g->z.avail_in = (uInt)n;
	return 0;
}

/* Between or after members: goes to the next one, or through the padding. */
static int skip(struct gunzip *g, struct err *err)
{
	if (g->where == BETWEEN && *g->z.next_in == 0x1f) {
		if (inflateReset(&g->z) != Z_OK)
			return err_set(err, -EINVAL, "gzip data: cannot start its next part");
		g->where = MEMBER;
		return 0;
	}
	g->where = PADDING;
	while (g->z.avail_in && !*g->z.next_in) {
		g->z.next_in++;
		g->z.avail_in--;
	}
	if (g->z.avail_in)
		return err_set(err, -EINVAL,
			       "there is something else behind its gzip data, from offset %" PRIu64
			       " on",
			       g->next - g->z.avail_in);
	return 0;
}

static int unpack(struct gunzip *g, struct err *err)
{
	/*
	 * Z_FINISH would spare zlib a copy of the last 32 KiB each time, but it then reports a full
	 * output buffer and damaged input in the same way.
	 */
	switch (inflate(&g->z, Z_NO_FLUSH)) {
	case Z_OK:
		return 0;
	case Z_STREAM_END:
		g->where = BETWEEN;
		return 0;
	case Z_BUF_ERROR:
		return err_set(err, -EINVAL,
			       "its gzip data ends in the middle: the file is cut short");
	case Z_MEM_ERROR:
		return err_sys(err, -ENOMEM, "unpacking gzip data");
	default:
		return err_set(err, -EINVAL,
			       "its gzip data is damaged near offset %" PRIu64 " (%s)",
			       g->next - g->z.avail_in, g->z.msg ? g->z.msg : "no reason given");
	}
}

int gunzip_read(struct gunzip *g, void *buf, size_t len, size_t *got, struct err *err)
{
	*got = 0;
	while (*got < len) {
		size_t left = len - *got;
		uInt room = left > UINT_MAX ? UINT_MAX : (uInt)left;
		int rc = refill(g, err);

		if (rc)
			return rc;
		if (g->where != MEMBER) {
			if (!g->z.avail_in)
				return 0;
			rc = skip(g, err);
			if (rc)
				return rc;
			continue;
		}
		g->z.next_out = (uint8_t *)buf + *got;
		g->z.avail_out = room;
		rc = unpack(g, err);
		if (rc)
			return rc;
		*got += room - g->z.avail_out;
	}
	return 0;
}
