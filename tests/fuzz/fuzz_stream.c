/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libFuzzer target for the messages of a migration, as both sides read them: an input is a side (bit 0 of its first byte) and
 * what comes over the line after the hello. Checksums and numbers would keep nearly every changed input out, so they are made
 * right here before each message is looked at. The state machine takes part: what it does not expect ends the run.
 */
#include <stdlib.h>
#include <string.h>

#include "state/checksum.h"
#include "state/course.h"
#include "state/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAGE 4096

struct side {
	bool destination, post;
	unsigned int state;
	unsigned int late; /* bank */
	uint64_t told;
	struct snap_info geometry;
	uint8_t tags[STREAM_CHUNK_PAGES * PAGE / 32], scratch[STREAM_CHUNK_PAGES * PAGE];
};

static void must(bool what)
{
	if (!what)
		abort();
}

static int pages(struct side *s, struct rbuf *in, struct err *err)
{
	const uint8_t *data = NULL;
	struct stream_pages p;
	unsigned int n;
	int rc = stream_pages_decode(in, &s->geometry, &p, err);

	if (rc)
		return rc;
	must(p.bank < s->geometry.nbanks && !(p.here & p.zero) && (p.here | p.zero));
	must(p.chunk * STREAM_CHUNK_PAGES + 63 - (uint64_t)__builtin_clzll(p.here | p.zero) <
	     s->geometry.bank[p.bank].size / s->geometry.page_size);
	if (s->geometry.page_size != PAGE)
		return 0; /* the buffers here are for the common one */
	n = (unsigned int)__builtin_popcountll(p.here);
	rc = stream_tags_decode(&p, &s->geometry, s->tags, err);
	if (!rc)
		rc = stream_data_decode(&p, &s->geometry, s->scratch, &data, err);
	for (size_t i = 0, sum = 0; !rc && i < (size_t)n * PAGE; i++)
		must((sum += data[i]) < SIZE_MAX); /* all of it can be read */
	return rc;
}

static uint64_t bank_pages(const struct side *s)
{
	const struct snap_info *g = &s->geometry;

	return g->page_size ? g->bank[s->late].size / g->page_size : 0;
}

static int payload(struct side *s, uint32_t type, struct rbuf *in, struct err *err)
{
	struct err why = ERR_INIT;
	struct rbuf a, b;
	uint64_t number;
	uint32_t round;
	uint64_t wanted[STREAM_REQUEST_PAGES], first;
	uint8_t late = 0, id[16];
	unsigned int channels;
	size_t n;
	bool flag;
	int rc;

	switch (type) {
	case STREAM_OFFER:
		rc = stream_offer_decode(in, &s->geometry, &late, &a, &b, err);
		must(rc || late <= s->geometry.nbanks);
		s->late = !rc && late ? late - 1 : 0;
		return rc;
	case STREAM_MISSING:
		rc = stream_missing_decode(in, bank_pages(s), s->told, &first, &n, err);
		for (size_t i = 0; !rc && i < n; i++) {
			uint64_t bits = rbuf_u64(in);

			must(!bits || (first + i) * 64 + 63 - (uint64_t)__builtin_clzll(bits) <
					      bank_pages(s));
		}
		if (!rc)
			s->told = first + n;
		must(rc || !rbuf_done(in));
		return rc;
	case STREAM_REQUEST:
		rc = stream_request_decode(in, bank_pages(s), wanted, &n, err);
		for (size_t i = 0; !rc && i < n; i++)
			must(wanted[i] < bank_pages(s));
		return rc;
	case STREAM_REJOIN:
		return stream_rejoin_decode(in, id, err);
	case STREAM_CHANNELS:
		rc = stream_channels_decode(in, &channels, id, err);
		must(rc || (channels >= 2 && channels <= STREAM_CHANNELS_MAX));
		return rc;
	case STREAM_PAGES:
		return pages(s, in, err);
	case STREAM_ROUND:
	case STREAM_SEEN:
		return stream_u32_decode(in, &round, err);
	case STREAM_STATE:
		return 0;
	case STREAM_COMMIT:
		return stream_flag_decode(in, &flag, err);
	case STREAM_RUNNING:
		return stream_u64_decode(in, &number, err);
	case STREAM_ABORT:
		rc = stream_abort_decode(in, &why, err);
		for (const char *c = why.msg; !rc && *c; c++)
			must((unsigned char)*c >= ' ' && *c != 0x7f);
		return rc;
	default:
		return stream_nothing_decode(in, err);
	}
}

/* What this side does by itself after that message. */
static void advance(struct side *s, uint32_t type, int rc)
{
	unsigned int event = rc ? COURSE_LINE : type;

	if (!s->destination && type == STREAM_ALIVE && !rc)
		return;
	if (s->destination) {
		s->state = course_destination_next(s->state, event);
		if (type == STREAM_OFFER)
			s->state = course_destination_next(s->state, COURSE_BUILT);
		if (type == STREAM_STATE)
			s->state = course_destination_next(s->state, COURSE_TAKEN);
		return;
	}
	s->state = course_source_next(s->state, event);
	if (type == STREAM_SEEN) {
		s->state = course_source_next(s->state, COURSE_STOOD);
		s->state = course_source_next(s->state, COURSE_SENT);
	}
	/* Without a round: the other kind of switch-over. */
	if (type == STREAM_ACCEPT && !rc) {
		s->geometry.page_size = PAGE;
		s->geometry.nbanks = 1;
		s->geometry.bank[0].size = 1000 * PAGE;
		if (s->post) {
			s->state = course_source_next(s->state, COURSE_STOOD);
			s->state = course_source_next(s->state, COURSE_SENT_LATE);
		}
	}
	if (type == STREAM_LOADED)
		s->state = course_source_next(s->state, COURSE_SENT);
}

static bool final(const struct side *s)
{
	return s->destination ? course_destination_final(s->state) : course_source_final(s->state);
}

static size_t message(struct side *s, uint8_t *at, size_t left, uint32_t number)
{
	struct stream_header header;
	struct err err = ERR_INIT;
	struct rbuf in;
	size_t len;
	int rc;

	if (left < STREAM_HEADER + STREAM_CHECKSUM)
		return 0;
	for (unsigned int i = 0; i < 4; i++)
		at[8 + i] = (uint8_t)(number >> 8 * i);
	rc = stream_header_decode(at, number, s->geometry.page_size, &header, &err);
	must(!rc == !err.msg[0]);
	if (rc || header.length > left - STREAM_HEADER - STREAM_CHECKSUM)
		return 0;
	must(header.length <= stream_max(header.type, s->geometry.page_size));
	len = STREAM_HEADER + header.length + STREAM_CHECKSUM;
	for (uint64_t i = 0, sum = checksum(at, len - STREAM_CHECKSUM); i < STREAM_CHECKSUM; i++)
		at[len - STREAM_CHECKSUM + i] = (uint8_t)(sum >> 8 * i);
	must(!stream_check(at, len, &in, &err));
	rc = payload(s, header.type, &in, &err);
	must(!rc == !err.msg[0]);
	advance(s, header.type, rc);
	return final(s) ? 0 : len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct side s; /* large */
	uint8_t *copy;
	uint32_t number = 0;
	size_t at = 0, n;

	if (!size)
		return 0;
	copy = malloc(size);
	must(copy != NULL);
	memcpy(copy, data + 1, size - 1);
	memset(&s, 0, offsetof(struct side, tags));
	s.destination = data[0] & 1;
	s.post = data[0] & 2;
	s.state = s.destination ? DESTINATION_WAITING : SOURCE_OFFERED;
	while (at < size - 1 && (n = message(&s, copy + at, size - 1 - at, number++)))
		at += n;
	free(copy);
	return 0;
}
