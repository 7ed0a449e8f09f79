/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the writer and the reader of a snapshot file agree on, private to them; docs/snapshot-format.md has the words.
 * Sections follow each other without a gap:
 *
 *   header | compat | state | RAM: data and tags of chunks, in any order | index
 *
 * Only within RAM, and only in a file that is not SNAP_PACKED, there are gaps of zeros, of less than SNAP_ALIGN bytes, in
 * front of a chunk's data.
 */
#ifndef LKVM_STATE_SNAPFILE_LAYOUT_H
#define LKVM_STATE_SNAPFILE_LAYOUT_H

#include <pthread.h>

#include "state/snapfile.h"
#include "state/tagcode.h"

#define SNAP_MAGIC	"LKVMSNAP" /* 8 bytes */
#define SNAP_HEADER	4096u
#define SNAP_UUID_AT	32u
#define SNAP_HEADER_SUM 4088u /* the header's own checksum, over the bytes before it */
#define SNAP_ALIGN	4096u
#define SNAP_ENTRY	64u /* of the index */
#define SNAP_MAX_COMPAT (1u << 20)
#define SNAP_PIECE	65536u /* the index is read and written so much at a time */

#define SNAP_TAGS   1u /* header flag: pages carry tags */
#define SNAP_PACKED 2u /* header flag: data of chunks may be compressed, and is not aligned */

_Static_assert(SNAP_PIECE % SNAP_ENTRY == 0, "entries do not straddle pieces");

struct snap_layout {
	struct snap_info info;
	bool packed;
	uint64_t compat_len, state_len, ram_len;
	uint64_t index_sum;
};

static inline uint64_t snap_state_off(const struct snap_layout *l)
{
	return SNAP_HEADER + l->compat_len;
}

static inline uint64_t snap_ram_off(const struct snap_layout *l)
{
	return snap_state_off(l) + l->state_len;
}

static inline uint64_t snap_index_off(const struct snap_layout *l)
{
	return snap_ram_off(l) + l->ram_len;
}

static inline uint64_t snap_align(uint64_t off)
{
	return (off + SNAP_ALIGN - 1) & ~(uint64_t)(SNAP_ALIGN - 1);
}

/* Page size, uuid, parent and banks of @info are ones that a file can have. */
int snap_info_check(const struct snap_info *info, struct err *err);
bool snap_has_parent(const struct snap_info *info);

/* The pages that chunk @chunk of @bank has, a bit each; 0 where there is no such chunk. */
uint64_t snap_chunk_mask(const struct snap_info *info, uint32_t bank, uint64_t chunk);
uint64_t snap_chunk_gpa(const struct snap_info *info, uint32_t bank, uint64_t chunk);

void snap_header_encode(const struct snap_layout *l, struct wbuf *out);
/* @bytes: SNAP_HEADER of them. All is checked that can be without the rest of the file. -EOPNOTSUPP: another version. */
int snap_header_decode(const uint8_t *bytes, uint64_t file_size, struct snap_layout *l,
		       struct err *err);

/* One chunk's entry in the index. Where there is no HERE page, offsets, lengths and checksums are 0. */
struct snap_entry {
	uint16_t bank;
	uint16_t codec; /* enum snap_codec of the data */
	uint32_t chunk;
	uint64_t here;
	uint64_t absent;
	uint64_t data_off;
	uint32_t data_len;
	uint32_t tag_len;
	uint64_t tag_off;
	uint64_t data_sum;
	uint64_t tag_sum;
};

void snap_entry_encode(const struct snap_entry *e, struct wbuf *out);
void snap_entry_decode(const uint8_t *bytes, struct snap_entry *e); /* SNAP_ENTRY of them */
/* By itself; that extents do not overlap is seen by who has them all. */
int snap_entry_check(const struct snap_layout *l, const struct snap_entry *e, struct err *err);
/* By bank, then chunk: less than, equal to or greater than 0. */
int snap_entry_compare(const void *a, const void *b);

/* The bytes of the compat section (@compat) or the state section are records with whole checksums, as many as belong. */
int snap_records_check(const uint8_t *bytes, size_t len, bool compat, struct err *err);

struct snap_read_work;

struct snap_reader {
	int fd;
	char *name;
	struct snap_layout l;
	struct snap_entry *entry; /* sorted */
	size_t nentries;

	pthread_mutex_t lock; /* over the line below */
	struct snap_read_work *idle;
};

/* All of @len bytes, which the file has: it ends earlier only if it was cut after it was opened. */
int snap_read(const struct snap_reader *r, void *buf, size_t len, uint64_t off, const char *what,
	      struct err *err);

#endif
