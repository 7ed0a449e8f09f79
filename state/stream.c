/* SPDX-License-Identifier: GPL-2.0-only */
/* Frames and the small messages of a migration; pages are in state/stream-pages.c. */
#include "state/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "state/checksum.h"
#include "state/record.h"
#include "state/tagcode.h"

#define MAGIC	  "LKVMMIGR"
#define MAX_OFFER 65536
#define MAX_ABORT 4096

const char *stream_type_name(uint32_t type)
{
	static const char *const names[] = {"offer",  "accept",	  "pages",    "round",	  "seen",
					    "paused", "state",	  "loaded",   "commit",	  "running",
					    "abort",  "missing",  "request",  "complete", "rejoin",
					    "joined", "channels", "attached", "alive"};

	return type >= STREAM_OFFER && type < STREAM_TYPES_END ? names[type - STREAM_OFFER]
							       : "unknown";
}

void stream_hello_encode(struct wbuf *out)
{
	wbuf_bytes(out, MAGIC, 8);
	wbuf_u16(out, STREAM_VERSION);
	wbuf_u16(out, STREAM_VERSION);
	wbuf_u32(out, 0);
}

int stream_hello_begin_check(const uint8_t *bytes, size_t len, struct err *err)
{
	/* A first record of TLS. */
	if (len >= 2 && bytes[0] == 0x16 && bytes[1] == 3)
		return err_set(err, -EPROTO,
			       "the other side speaks TLS: --tls-psk is for both sides");
	if (memcmp(bytes, MAGIC, len < 8 ? len : 8))
		return err_set(err, -EPROTO, "the other side is no migration of lkvm");
	return 0;
}

int stream_hello_decode(const uint8_t bytes[STREAM_HELLO], uint16_t *version, struct err *err)
{
	uint16_t oldest, newest;
	struct rbuf in;
	int rc = stream_hello_begin_check(bytes, STREAM_HELLO, err);

	if (rc)
		return rc;
	rbuf_init(&in, bytes + 8, STREAM_HELLO - 8);
	oldest = rbuf_u16(&in);
	newest = rbuf_u16(&in);
	if (oldest > newest || rbuf_u32(&in))
		return err_set(err, -EPROTO, "the other side is no migration of lkvm");
	if (oldest > STREAM_VERSION || newest < STREAM_VERSION)
		return err_set(err, -EPROTONOSUPPORT,
			       "the other side speaks the versions %u to %u of the migration "
			       "protocol, this one %d",
			       oldest, newest, STREAM_VERSION);
	*version = STREAM_VERSION;
	return 0;
}

size_t stream_begin(struct wbuf *out, enum stream_type type, uint32_t number)
{
	return record_begin(out, (enum record_type)type, 1, RECORD_MUST, number);
}

void stream_end(struct wbuf *out, size_t start)
{
	record_end(out, start);
}

size_t stream_max(uint32_t type, uint32_t page_size)
{
	switch (type) {
	case STREAM_OFFER:
		return MAX_OFFER;
	case STREAM_PAGES:
		return page_size ? 34 + STREAM_CHUNK_PAGES * (page_size + page_size / 32 + 1) : 0;
	case STREAM_ROUND:
	case STREAM_SEEN:
		return 4;
	case STREAM_STATE:
		return SNAP_MAX_STATE;
	case STREAM_COMMIT:
		return 1;
	case STREAM_RUNNING:
		return 8;
	case STREAM_ABORT:
		return MAX_ABORT;
	case STREAM_MISSING:
		return 8 + STREAM_MISSING_WORDS * 8;
	case STREAM_REQUEST:
		return STREAM_REQUEST_PAGES * 8;
	case STREAM_REJOIN:
		return 16;
	case STREAM_CHANNELS:
		return 17;
	default:
		return 0;
	}
}

int stream_header_decode(const uint8_t bytes[STREAM_HEADER], uint32_t number, uint32_t page_size,
			 struct stream_header *header, struct err *err)
{
	uint16_t version, flags;
	struct rbuf in;
	uint32_t got;

	rbuf_init(&in, bytes, STREAM_HEADER);
	header->type = rbuf_u32(&in);
	version = rbuf_u16(&in);
	flags = rbuf_u16(&in);
	got = rbuf_u32(&in);
	header->length = rbuf_u32(&in);
	if (header->type < STREAM_OFFER || header->type >= STREAM_TYPES_END || version != 1 ||
	    flags != RECORD_MUST)
		return err_set(err, -EBADMSG,
			       "message %" PRIu32 ": type 0x%" PRIx32
			       ", version %u, flags 0x%x, which this program does not know",
			       number, header->type, version, flags);
	if (got != number)
		return err_set(err, -EBADMSG, "message %" PRIu32 ", %s: it has the number %" PRIu32,
			       number, stream_type_name(header->type), got);
	if (header->length > stream_max(header->type, page_size))
		return err_set(err, -EBADMSG,
			       "message %" PRIu32 ", %s: %" PRIu32
			       " bytes of payload where at most %zu may be",
			       number, stream_type_name(header->type), header->length,
			       stream_max(header->type, page_size));
	return 0;
}

int stream_check(const uint8_t *message, size_t len, struct rbuf *payload, struct err *err)
{
	struct rbuf in;

	if (len < STREAM_HEADER + STREAM_CHECKSUM)
		return err_set(err, -EBADMSG, "a message was cut short");
	rbuf_init(&in, message + len - STREAM_CHECKSUM, STREAM_CHECKSUM);
	if (rbuf_u64(&in) != checksum(message, len - STREAM_CHECKSUM))
		return err_set(err, -EBADMSG, "a message's checksum is wrong");
	rbuf_init(payload, message + STREAM_HEADER, len - STREAM_HEADER - STREAM_CHECKSUM);
	return 0;
}

static void put_part(struct wbuf *out, const struct wbuf *part)
{
	if (part->error && !out->error)
		out->error = part->error;
	wbuf_u32(out, (uint32_t)part->len);
	wbuf_bytes(out, part->data, part->len);
}

void stream_offer_encode(struct wbuf *out, const struct snap_info *geometry, uint8_t late,
			 const struct wbuf *compat, const struct wbuf *config)
{
	wbuf_u32(out, geometry->page_size);
	wbuf_u8(out, geometry->tags);
	wbuf_u8(out, late);
	wbuf_bytes(out, geometry->uuid, sizeof(geometry->uuid));
	wbuf_u8(out, (uint8_t)geometry->nbanks);
	for (uint32_t i = 0; i < geometry->nbanks; i++) {
		wbuf_str(out, geometry->bank[i].name);
		wbuf_u64(out, geometry->bank[i].gpa);
		wbuf_u64(out, geometry->bank[i].size);
	}
	put_part(out, compat);
	put_part(out, config);
}

static bool bank_ok(const struct snap_bank *bank, uint32_t page_size)
{
	return bank->name[0] && bank->size && !(bank->size % page_size) &&
	       !(bank->gpa % page_size) && bank->gpa + bank->size > bank->gpa &&
	       bank->size / page_size / STREAM_CHUNK_PAGES < SNAP_MAX_CHUNKS;
}

int stream_offer_decode(struct rbuf *in, struct snap_info *geometry, uint8_t *late,
			struct rbuf *compat, struct rbuf *config, struct err *err)
{
	uint8_t tags;
	bool ok;

	memset(geometry, 0, sizeof(*geometry));
	geometry->page_size = rbuf_u32(in);
	tags = rbuf_u8(in);
	*late = rbuf_u8(in);
	rbuf_bytes(in, geometry->uuid, sizeof(geometry->uuid));
	geometry->nbanks = rbuf_u8(in);
	ok = tagcode_page_ok(geometry->page_size) && tags <= 1 && geometry->nbanks &&
	     geometry->nbanks <= SNAP_MAX_BANKS && *late <= geometry->nbanks;
	for (uint32_t i = 0; ok && i < geometry->nbanks; i++) {
		struct snap_bank *bank = &geometry->bank[i];

		rbuf_str(in, bank->name, sizeof(bank->name));
		bank->gpa = rbuf_u64(in);
		bank->size = rbuf_u64(in);
		ok = bank_ok(bank, geometry->page_size);
	}
	geometry->tags = tags;
	rbuf_part(in, compat);
	rbuf_part(in, config);
	if (rbuf_done(in) || !ok)
		return err_set(err, -EBADMSG, "the offer is malformed");
	return 0;
}

void stream_abort_encode(struct wbuf *out, int code, const char *text)
{
	size_t len = strlen(text);

	if (len > MAX_ABORT - 6)
		len = MAX_ABORT - 6;
	wbuf_u32(out, (uint32_t)code);
	wbuf_u16(out, (uint16_t)len);
	wbuf_bytes(out, text, len);
}

/* What the other side says goes to a terminal. */
int stream_abort_decode(struct rbuf *in, struct err *why, struct err *err)
{
	char text[MAX_ABORT];
	int code = (int)rbuf_u32(in);

	rbuf_str(in, text, sizeof(text));
	if (rbuf_done(in) || code >= 0 || code < -4095)
		return err_set(err, -EBADMSG, "the message abort is malformed");
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	err_set(why, code, "%s", text);
	return 0;
}

int stream_u32_decode(struct rbuf *in, uint32_t *value, struct err *err)
{
	*value = rbuf_u32(in);
	return stream_nothing_decode(in, err);
}

int stream_u64_decode(struct rbuf *in, uint64_t *value, struct err *err)
{
	*value = rbuf_u64(in);
	return stream_nothing_decode(in, err);
}

int stream_flag_decode(struct rbuf *in, bool *value, struct err *err)
{
	uint8_t v = rbuf_u8(in);

	*value = v;
	if (v > 1)
		in->error = -EBADMSG;
	return stream_nothing_decode(in, err);
}

int stream_nothing_decode(struct rbuf *in, struct err *err)
{
	return rbuf_done(in) ? err_set(err, -EBADMSG, "a message has a payload of the wrong length")
			     : 0;
}
