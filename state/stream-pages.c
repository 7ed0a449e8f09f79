/* SPDX-License-Identifier: GPL-2.0-only */
/* PAGES: data and tags of neighbouring pages as one message. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "state/stream.h"
#include "state/tagcode.h"

#define ZSTD_LEVEL 1 /* a line is seldom so slow that a better one pays */

struct stream_packer {
	uint32_t page_size;
	ZSTD_CCtx *zstd; /* or NULL: everything goes raw */
	uint8_t *raw, *packed;
};

int stream_packer_init(struct stream_packer **out, uint32_t page_size, uint8_t codec,
		       struct err *err)
{
	struct stream_packer *p = calloc(1, sizeof(*p));
	size_t chunk = (size_t)page_size * STREAM_CHUNK_PAGES;

	*out = p;
	if (!p)
		return err_set(err, -ENOMEM, "no memory for a migration");
	p->page_size = page_size;
	if (codec == SNAP_RAW)
		return 0;
	p->zstd = ZSTD_createCCtx();
	p->raw = malloc(chunk);
	p->packed = malloc(chunk);
	if (!p->zstd || !p->raw || !p->packed) {
		stream_packer_release(p);
		*out = NULL;
		return err_set(err, -ENOMEM, "no memory for compression");
	}
	ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
	return 0;
}

void stream_packer_release(struct stream_packer *p)
{
	if (!p)
		return;
	ZSTD_freeCCtx(p->zstd);
	free(p->raw);
	free(p->packed);
	free(p);
}

static void put_tags(struct wbuf *out, const uint8_t *tags, unsigned int n, uint32_t page_size)
{
	struct tag_shape shape;

	for (unsigned int i = 0; i < n; i++, tags += page_size / 32) {
		tagcode_classify(tags, page_size, &shape);
		tagcode_encode(&shape, tags, page_size, out);
	}
}

/* The guest may write to the pages meanwhile: what is compressed must be a copy. True if it became smaller. */
static bool put_packed(struct stream_packer *p, struct wbuf *out, uint64_t here,
		       const void *const page[])
{
	size_t len = 0, done;

	for (unsigned int i = 0; i < STREAM_CHUNK_PAGES; i++) {
		if (!(here >> i & 1))
			continue;
		memcpy(p->raw + len, page[i], p->page_size);
		len += p->page_size;
	}
	done = ZSTD_compress2(p->zstd, p->packed, len - 1, p->raw, len);
	if (ZSTD_isError(done))
		return false;
	wbuf_bytes(out, p->packed, done);
	return true;
}

void stream_pages_encode(struct stream_packer *packer, struct wbuf *out,
			 const struct stream_pages *p, const void *const page[STREAM_CHUNK_PAGES],
			 const uint8_t *tags, uint64_t *data_bytes, uint64_t *tag_bytes)
{
	size_t start = out->len, at;
	uint8_t codec = SNAP_RAW;

	wbuf_u8(out, p->bank);
	wbuf_u8(out, codec);
	wbuf_u64(out, p->chunk);
	wbuf_u64(out, p->here);
	wbuf_u64(out, p->zero);
	at = out->len;
	wbuf_u32(out, 0);
	if (tags)
		put_tags(out, tags, __builtin_popcountll(p->here), packer->page_size);
	*tag_bytes = out->len - at - 4;
	wbuf_patch_u32(out, at, (uint32_t)*tag_bytes);
	at = out->len;
	wbuf_u32(out, 0);
	if (p->here && p->codec == SNAP_ZSTD && packer->zstd &&
	    put_packed(packer, out, p->here, page))
		codec = SNAP_ZSTD;
	for (unsigned int i = 0; codec == SNAP_RAW && i < STREAM_CHUNK_PAGES; i++)
		if (p->here >> i & 1)
			wbuf_bytes(out, page[i], packer->page_size);
	*data_bytes = out->len - at - 4;
	if (out->error)
		return;
	wbuf_patch_u32(out, at, (uint32_t)*data_bytes);
	out->data[start + 1] = codec;
}

static bool chunk_ok(const struct stream_pages *p, const struct snap_info *g)
{
	uint64_t pages, first = p->chunk * STREAM_CHUNK_PAGES, bits = p->here | p->zero;

	if (p->bank >= g->nbanks || p->chunk >= SNAP_MAX_CHUNKS || p->here & p->zero || !bits)
		return false;
	pages = g->bank[p->bank].size / g->page_size;
	return first + 63 - (uint64_t)__builtin_clzll(bits) < pages;
}

int stream_pages_decode(struct rbuf *in, const struct snap_info *g, struct stream_pages *p,
			struct err *err)
{
	unsigned int n;
	bool ok;

	p->bank = rbuf_u8(in);
	p->codec = rbuf_u8(in);
	p->chunk = rbuf_u64(in);
	p->here = rbuf_u64(in);
	p->zero = rbuf_u64(in);
	rbuf_part(in, &p->tags);
	rbuf_part(in, &p->data);
	n = __builtin_popcountll(p->here);
	ok = !rbuf_done(in) && chunk_ok(p, g) && p->codec <= SNAP_ZSTD;
	ok = ok && !!p->tags.len == (g->tags && n) && p->tags.len <= n * (g->page_size / 32 + 1);
	if (ok && (p->codec == SNAP_RAW || !n))
		ok = p->codec == SNAP_RAW && p->data.len == (size_t)n * g->page_size;
	else if (ok)
		ok = p->data.len && p->data.len < (size_t)n * g->page_size;
	return ok ? 0
		  : err_set(err, -EBADMSG,
			    "the message pages is malformed (bank %u, chunk %" PRIu64 ")", p->bank,
			    p->chunk);
}

int stream_tags_decode(struct stream_pages *p, const struct snap_info *g, uint8_t *packed,
		       struct err *err)
{
	unsigned int n = g->tags ? __builtin_popcountll(p->here) : 0;
	struct tag_shape shape;

	for (unsigned int i = 0; i < n; i++, packed += g->page_size / 32) {
		int rc = tagcode_decode(&p->tags, g->page_size, &shape, packed, err);

		if (rc)
			return rc;
		tagcode_expand(&shape, g->page_size, packed);
	}
	return rbuf_done(&p->tags) ? err_set(err, -EBADMSG, "the message pages has tags left over")
				   : 0;
}

int stream_data_decode(struct stream_pages *p, const struct snap_info *g, uint8_t *scratch,
		       const uint8_t **data, struct err *err)
{
	size_t want = (size_t)__builtin_popcountll(p->here) * g->page_size, got;

	*data = p->data.data;
	if (p->codec == SNAP_RAW)
		return 0;
	*data = scratch;
	got = ZSTD_findFrameCompressedSize(p->data.data, p->data.len);
	if (!ZSTD_isError(got) && got == p->data.len)
		got = ZSTD_decompress(scratch, want, p->data.data, p->data.len);
	return ZSTD_isError(got) || got != want
		       ? err_set(err, -EBADMSG, "the message pages does not unpack to its pages")
		       : 0;
}
