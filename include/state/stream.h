/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The messages of a live migration as bytes: pure code, knows neither connection nor VM. docs/migration-protocol.md has
 * every field; state/course.h says which message may come when.
 *
 * A message is framed as a record of state/record.h is; its `instance` is the number of the message, counted from 0 by each
 * sender, so that one that was lost or doubled is noticed. All that is decoded here may be hostile.
 */
#ifndef LKVM_STATE_STREAM_H
#define LKVM_STATE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/snapfile.h"
#include "util/buf.h"
#include "util/err.h"

#define STREAM_VERSION	   1
#define STREAM_HELLO	   16 /* bytes */
#define STREAM_HEADER	   16 /* of a message */
#define STREAM_CHECKSUM	   8  /* behind it */
#define STREAM_CHUNK_PAGES SNAP_CHUNK_PAGES

enum stream_type {
	STREAM_OFFER = 0x100,
	STREAM_ACCEPT,
	STREAM_PAGES,
	STREAM_ROUND,
	STREAM_SEEN,
	STREAM_PAUSED,
	STREAM_STATE,
	STREAM_LOADED,
	STREAM_COMMIT,
	STREAM_RUNNING,
	STREAM_ABORT,
	STREAM_MISSING, /* pages that come after the switch-over; or, when joined again, are still to come */
	STREAM_REQUEST,	 /* pages that somebody waits for */
	STREAM_COMPLETE, /* no page is needed any more */
	STREAM_REJOIN,	 /* the migration with this number goes on */
	STREAM_JOINED,
	STREAM_CHANNELS, /* more connections come */
	STREAM_ATTACHED, /* they have */
	STREAM_ALIVE,	 /* bytes are coming in; says no more, and may come between any two */
	STREAM_TYPES_END
};

const char *stream_type_name(uint32_t type); /* "pages", or "unknown" */

void stream_hello_encode(struct wbuf *out);
/* The version to speak. -EPROTO: this is no migration; -EPROTONOSUPPORT: none in common; both with the reason. */
int stream_hello_decode(const uint8_t bytes[STREAM_HELLO], uint16_t *version, struct err *err);
/* Of the first bytes of one, as many as there are. -EPROTO: nothing that follows can make them one. */
int stream_hello_begin_check(const uint8_t *bytes, size_t len, struct err *err);

/* ---- frames ---- */

size_t stream_begin(struct wbuf *out, enum stream_type type, uint32_t number);
void stream_end(struct wbuf *out, size_t start);

/* Bytes of payload that a message of that type may have; @page_size 0 while it is not known. */
size_t stream_max(uint32_t type, uint32_t page_size);

struct stream_header {
	uint32_t type;
	uint32_t length; /* of the payload, within the bound of the type */
};

/* Of the STREAM_HEADER bytes in front of a message. @number: what it must have. -EBADMSG names what is wrong. */
int stream_header_decode(const uint8_t bytes[STREAM_HEADER], uint32_t number, uint32_t page_size,
			 struct stream_header *header, struct err *err);

/* The whole message, header and checksum included: -EBADMSG unless the checksum holds. @payload is then over its bytes. */
int stream_check(const uint8_t *message, size_t len, struct rbuf *payload, struct err *err);

/* ---- payloads; each decoder reads all of @in and refuses what is left over ---- */

/*
 * @geometry: page size, tags, banks and uuid count, nothing else of it. @late: 0, or with post-copy the number of the bank
 * whose pages may come after the switch-over, plus 1; uuid is then the number of this migration.
 */
void stream_offer_encode(struct wbuf *out, const struct snap_info *geometry, uint8_t late,
			 const struct wbuf *compat, const struct wbuf *config);
/* @compat and @config are over the bytes of @in. */
int stream_offer_decode(struct rbuf *in, struct snap_info *geometry, uint8_t *late,
			struct rbuf *compat, struct rbuf *config, struct err *err);

struct stream_pages {
	uint8_t bank;
	uint8_t codec; /* enum snap_codec */
	uint64_t chunk;
	uint64_t here, zero; /* a bit a page of the chunk */
	/* Decoded: views of the message. */
	struct rbuf tags; /* stream_tags_decode() */
	struct rbuf data; /* stream_data_decode() */
};

/*
 * Appends the payload. @page[i]: page i of the chunk, for those that are here. @tags: their packed tags
 * (state/tagcode.h), one set after the other, or NULL. @p->codec SNAP_ZSTD is an offer: what does not become smaller goes raw.
 * The bytes that data and tags took go to @data_bytes and @tag_bytes.
 */
struct stream_packer;
int stream_packer_init(struct stream_packer **out, uint32_t page_size, uint8_t codec,
		       struct err *err);
void stream_packer_release(struct stream_packer *packer);
void stream_pages_encode(struct stream_packer *packer, struct wbuf *out,
			 const struct stream_pages *p, const void *const page[STREAM_CHUNK_PAGES],
			 const uint8_t *tags, uint64_t *data_bytes, uint64_t *tag_bytes);

int stream_pages_decode(struct rbuf *in, const struct snap_info *geometry, struct stream_pages *p,
			struct err *err);
/* Packed tags of all pages that are here, one set after the other. @packed: STREAM_CHUNK_PAGES sets at most. */
int stream_tags_decode(struct stream_pages *p, const struct snap_info *geometry, uint8_t *packed,
		       struct err *err);
/* Their data, one page after the other: a pointer into the message, or @scratch (STREAM_CHUNK_PAGES pages), filled. */
int stream_data_decode(struct stream_pages *p, const struct snap_info *geometry, uint8_t *scratch,
		       const uint8_t **data, struct err *err);

/*
 * MISSING: words of the bitmap of a bank's pages, from word @first on; words in front of it and behind it that no other
 * message names are 0. @pages: of the bank. @from: the first word that was not told of yet; words come in order, so what all
 * these messages say is bounded by the bank. They are read with rbuf_u64(@words).
 */
#define STREAM_MISSING_WORDS 4096
void stream_missing_encode(struct wbuf *out, uint64_t first, const uint64_t *words, size_t n);
int stream_missing_decode(struct rbuf *in, uint64_t pages, uint64_t from, uint64_t *first,
			  size_t *n, struct err *err);

/* REQUEST: numbers of pages of the bank; at least one. */
#define STREAM_REQUEST_PAGES 16
void stream_request_encode(struct wbuf *out, const uint64_t *page, size_t n);
int stream_request_decode(struct rbuf *in, uint64_t pages, uint64_t page[STREAM_REQUEST_PAGES],
			  size_t *n, struct err *err);

int stream_rejoin_decode(struct rbuf *in, uint8_t id[16], struct err *err);

/*
 * CHANNELS: how many connections there are in all, 2 to STREAM_CHANNELS_MAX, and a number that nobody can guess. Each further one
 * begins with STREAM_ATTACH bytes: that number and its own, from 1; messages follow, counted anew.
 */
#define STREAM_CHANNELS_MAX 16
#define STREAM_ATTACH	    32
#define STREAM_LAST_ROUND   0xffffffffu /* on those: nothing follows */
void stream_channels_encode(struct wbuf *out, unsigned int n, const uint8_t id[16]);
int stream_channels_decode(struct rbuf *in, unsigned int *n, uint8_t id[16], struct err *err);
void stream_attach_encode(struct wbuf *out, unsigned int number, const uint8_t id[16]);
/* -EACCES: not of the migration @id, or not one of its @n. */
int stream_attach_decode(const uint8_t bytes[STREAM_ATTACH], unsigned int n, const uint8_t id[16],
			 unsigned int *number, struct err *err);

/* ABORT: why. A code that is not negative is malformed; the text is made printable and one line. */
void stream_abort_encode(struct wbuf *out, int code, const char *text);
int stream_abort_decode(struct rbuf *in, struct err *why, struct err *err);

int stream_u32_decode(struct rbuf *in, uint32_t *value, struct err *err); /* ROUND, SEEN */
int stream_u64_decode(struct rbuf *in, uint64_t *value, struct err *err); /* RUNNING */
int stream_flag_decode(struct rbuf *in, bool *value, struct err *err);	  /* COMMIT */
int stream_nothing_decode(struct rbuf *in, struct err *err);

#endif
