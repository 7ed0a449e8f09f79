/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory tags of one page as bytes: pure code, knows no Arm instruction and no VM.
 *
 * Units: a granule is 16 bytes of memory and has a tag of 4 bits (Arm ARM D10). A page is 4, 16 or 64 KiB.
 *
 * Packed: two granules a byte, the lower granule in the low nibble; page / 32 bytes. The same bytes as a core file's
 * PT_AARCH64_MEMTAG_MTE segment (Documentation/arch/arm64/memory-tagging-extension.rst).
 *
 * Encoded, for files and wires. The first byte says what follows:
 *   0x0T  every tag is T; nothing follows. 0x00 is a page of zero tags.
 *   0x10  runs: one little-endian u16 each, the tag in bits 3:0, the number of granules less one in bits 15:4, in
 *         the order of addresses, until the page is full. At least 2 and at most granules / 8 of them; neighbours
 *         have different tags.
 *   0x20  packed: page / 32 bytes.
 * All else is refused. An encoder writes the first form that fits; a decoder takes packed for any tags.
 * No page takes more than page / 32 + 1 bytes.
 */
#ifndef LKVM_STATE_TAGCODE_H
#define LKVM_STATE_TAGCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"

#define TAGCODE_GRANULE	   16
#define TAGCODE_PAGE_MAX   65536
#define TAGCODE_PACKED_MAX (TAGCODE_PAGE_MAX / TAGCODE_GRANULE / 2)
#define TAGCODE_RUNS_MAX   (TAGCODE_PAGE_MAX / TAGCODE_GRANULE / 8)
#define TAGCODE_ALIKE_MAX  64 /* pages at once */
#define TAGCODE_BYTES_MAX  (TAGCODE_PACKED_MAX + 1)

enum tag_class { TAGS_UNIFORM, TAGS_RUNS, TAGS_PACKED };

struct tag_run {
	uint16_t granules; /* 1..4096 */
	uint8_t tag;
};

struct tag_shape {
	enum tag_class class;
	uint8_t tag;	   /* TAGS_UNIFORM */
	unsigned int runs; /* TAGS_RUNS: that many of run[] */
	struct tag_run run[TAGCODE_RUNS_MAX];
};

static inline size_t tagcode_packed_size(size_t page)
{
	return page / TAGCODE_GRANULE / 2;
}

static inline bool tagcode_page_ok(size_t page)
{
	return page == 4096 || page == 16384 || page == 65536;
}

/* Which form fits the packed tags of one page of @page bytes. Only the fields of that class are set. */
void tagcode_classify(const uint8_t *packed, size_t page, struct tag_shape *shape);

/* Appends the encoded page. @packed is looked at for TAGS_PACKED only. Errors stick to @out. */
void tagcode_encode(const struct tag_shape *shape, const uint8_t *packed, size_t page,
		    struct wbuf *out);

/*
 * Many pages with one and the same tag throughout, which is most memory, at once. False if these are not that: then nothing
 * was done, and each page is to be encoded by itself. The bytes are the same either way.
 */
bool tagcode_encode_alike(const uint8_t *packed, size_t page, size_t pages, struct wbuf *out);

/*
 * The same backwards: all that is left in @in, if that is @pages pages with one tag. @packed gets the packed tags of all
 * of them. False, and nothing was done, if it is anything else, hostile or not.
 */
bool tagcode_decode_alike(struct rbuf *in, size_t page, size_t pages, uint8_t *packed);

/*
 * Takes one encoded page from @in, which may be hostile, and leaves what follows it. @packed (tagcode_packed_size()
 * bytes) is written for TAGS_PACKED only. -EBADMSG with the reason for what is malformed; @shape is then of no use.
 */
int tagcode_decode(struct rbuf *in, size_t page, struct tag_shape *shape, uint8_t *packed,
		   struct err *err);

/* The packed tags of a TAGS_UNIFORM or TAGS_RUNS page; of TAGS_PACKED, @packed is left as it is. */
void tagcode_expand(const struct tag_shape *shape, size_t page, uint8_t *packed);

#endif
