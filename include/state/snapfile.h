/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The snapshot file, as pure code over descriptors: no VM, no KVM. docs/snapshot-format.md has every byte.
 *
 *   header (4096 bytes)  magic, version, offsets and lengths of the sections, uuid, parent's uuid, checksum
 *   compat               one RECORD_COMPAT, readable without the rest
 *   state                records up to RECORD_END
 *   RAM                  data of chunks, each starting on a page of 4096 bytes unless the file was written with zstd, and
 *                        between them the chunks' tags, gathered into blocks
 *   index                one entry for each chunk that is not wholly absent (or, with a parent, wholly unchanged)
 *
 * A bank of RAM is cut into chunks of SNAP_CHUNK_PAGES pages of the snapshot's page size. For each page of a chunk two bits
 * say what it is: HERE (data and tags are in this file), ABSENT (zero data and zero tags), or neither: unchanged from the
 * parent, which only a file with a parent may contain. Data of HERE pages is concatenated in page order, raw or one zstd
 * frame; tags of HERE pages are concatenated in page order in the encoding of state/tagcode.h. Both have their own
 * checksum (state/checksum.h) in the index, the index has one in the header, and padding is zero: every byte of the file is
 * covered.
 *
 * Written front to back except for the header, which is written last: a file without one is no snapshot.
 */
#ifndef LKVM_STATE_SNAPFILE_H
#define LKVM_STATE_SNAPFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"

#define SNAP_VERSION	 1
#define SNAP_CHUNK_PAGES 64
#define SNAP_MAX_BANKS	 8
#define SNAP_MAX_STATE	 (64u << 20)
#define SNAP_MAX_CHUNKS	 (1u << 26) /* 16 TiB of 4 KiB pages */

enum snap_codec { SNAP_RAW, SNAP_ZSTD };

struct snap_bank {
	char name[16];
	uint64_t gpa;
	uint64_t size; /* bytes, whole pages */
};

struct snap_info {
	uint32_t version;
	uint32_t page_size; /* 4096, 16384 or 65536 */
	bool tags;	    /* pages carry tags */
	uint8_t uuid[16];
	uint8_t parent[16]; /* all zero: none */
	uint32_t nbanks;
	struct snap_bank bank[SNAP_MAX_BANKS];
	uint64_t chunks; /* entries in the index */
	uint64_t file_size;
	uint64_t data_bytes; /* as stored */
	uint64_t tag_bytes;
};

/* ---- writing ---- */

struct snap_writer;

/*
 * @fd: an empty file, written with pwrite(); the caller owns it, fsyncs and renames. @info: page_size, tags, uuid,
 * parent and banks are taken from it. @level: zstd level for SNAP_ZSTD. An error of any call here stays: there will be no
 * header. Errors of the file system are told as "cannot write the snapshot file", without its name. A limit of the
 * file's size comes as SIGXFSZ first: ignore it to get -EFBIG.
 */
int snap_writer_open(int fd, const struct snap_info *info, enum snap_codec codec, int level,
		     struct snap_writer **out, struct err *err);
/* Both once, before the first chunk. The bytes are records, RECORD_END last in @state. */
int snap_writer_compat(struct snap_writer *w, const struct wbuf *compat, struct err *err);
int snap_writer_state(struct snap_writer *w, const struct wbuf *state, struct err *err);

/*
 * One chunk: @here and @absent have a bit a page, no bit in both. @pages: the HERE pages, each a pointer to page_size
 * bytes. @tags: for each HERE page page_size / 32 packed bytes, in order, or NULL when the snapshot has no tags. Any
 * order of chunks, each once; several threads may call it.
 */
int snap_writer_chunk(struct snap_writer *w, uint32_t bank, uint64_t chunk, uint64_t here,
		      uint64_t absent, const void *const *pages, const uint8_t *tags,
		      struct err *err);

/* Index, then header. Only now the file is one. */
int snap_writer_finish(struct snap_writer *w, struct snap_info *info, struct err *err);
void snap_writer_close(struct snap_writer *w);

/* ---- reading: every number in the file is a stranger's ---- */

struct snap_reader;

/* Checks header, index and their checksums; RAM is checked when it is read. @name is for messages. @fd stays the
 * caller's and must outlive the reader. */
int snap_reader_open(int fd, const char *name, struct snap_reader **out, struct err *err);
void snap_reader_close(struct snap_reader *r);

/* Whether the first bytes of @fd say that it is this snapshot. Nothing was checked then: snap_reader_open() does. */
bool snap_file_claims(int fd, const uint8_t uuid[16]);
const struct snap_info *snap_reader_info(const struct snap_reader *r);

/* Appended to @out (initialised by the caller). All records are whole, with right checksums, up to the end. */
int snap_reader_compat(struct snap_reader *r, struct wbuf *out, struct err *err);
int snap_reader_state(struct snap_reader *r, struct wbuf *out, struct err *err);

/*
 * What the file says of a chunk without reading it: both 0 when it says nothing, that is, the parent knows. Without a
 * parent each page of a bank is in one of them.
 */
void snap_reader_look(const struct snap_reader *r, uint32_t bank, uint64_t chunk, uint64_t *here,
		      uint64_t *absent);

/* The first chunk of @bank at or after @from that has pages in this file. False when there is none. */
bool snap_reader_next(const struct snap_reader *r, uint32_t bank, uint64_t from, uint64_t *chunk);

/*
 * Reads, checks and unpacks a chunk: the HERE pages are stored through @pages[i] (page_size bytes each; NULL entries are
 * dropped), their packed tags at @tags + i * page_size / 32. i counts HERE pages. Where @pages or @tags is NULL, that half
 * is not read at all. -EBADMSG names the file, bank, guest address and offset; what has been stored by then is of no use.
 * Several threads may call it.
 */
int snap_reader_chunk(struct snap_reader *r, uint32_t bank, uint64_t chunk, void *const *pages,
		      uint8_t *tags, struct err *err);

#endif
