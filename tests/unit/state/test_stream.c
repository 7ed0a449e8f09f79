/* SPDX-License-Identifier: GPL-2.0-only */
/* The messages of a migration: what is encoded is decoded, and what was cut, changed or made up is refused. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state/stream.h"

#define PAGE 4096
#define TAGS (PAGE / 32)

static const struct snap_info geometry = {
	.page_size = PAGE,
	.tags = true,
	.uuid = "number of this",
	.nbanks = 2,
	.bank = {{"ram", 0x80000000, 100 * PAGE}, {"pvtime", 0x1020000, 16 * PAGE}},
};

static void test_hello(void **state)
{
	struct err err = ERR_INIT;
	struct wbuf out;
	uint16_t version = 0;

	(void)state;
	wbuf_init(&out, 100);
	stream_hello_encode(&out);
	assert_int_equal(out.len, STREAM_HELLO);
	assert_int_equal(stream_hello_decode(out.data, &version, &err), 0);
	assert_int_equal(version, STREAM_VERSION);
	for (size_t i = 0; i < STREAM_HELLO; i++) {
		int rc;

		out.data[i] ^= 0x40;
		rc = stream_hello_decode(out.data, &version, &err);
		/* A newer one that still speaks this version is welcome. */
		if (i == 10 || i == 11)
			assert_int_equal(rc, 0);
		else
			assert_int_equal(rc, -EPROTO);
		out.data[i] ^= 0x40;
	}
	out.data[8] = out.data[10] = 2;
	assert_int_equal(stream_hello_decode(out.data, &version, &err), -EPROTONOSUPPORT);
	wbuf_release(&out);
}

static void test_frame(void **state)
{
	struct stream_header header;
	struct err err = ERR_INIT;
	struct rbuf payload;
	struct wbuf out;

	(void)state;
	wbuf_init(&out, 1000);
	stream_begin(&out, STREAM_ROUND, 7);
	wbuf_u32(&out, 5);
	stream_end(&out, 0);
	assert_int_equal(out.len, STREAM_HEADER + 4 + STREAM_CHECKSUM);
	assert_int_equal(stream_header_decode(out.data, 7, PAGE, &header, &err), 0);
	assert_int_equal(header.type, STREAM_ROUND);
	assert_int_equal(header.length, 4);
	assert_int_equal(stream_check(out.data, out.len, &payload, &err), 0);
	assert_int_equal(rbuf_u32(&payload), 5);
	/* Lost or doubled. */
	assert_int_equal(stream_header_decode(out.data, 6, PAGE, &header, &err), -EBADMSG);
	assert_int_equal(stream_header_decode(out.data, 8, PAGE, &header, &err), -EBADMSG);
	/* Each bit. */
	for (size_t i = 0; i < out.len * 8; i++) {
		out.data[i / 8] ^= 1u << i % 8;
		assert_int_equal(stream_check(out.data, out.len, &payload, &err), -EBADMSG);
		out.data[i / 8] ^= 1u << i % 8;
	}
	for (size_t n = 0; n < out.len; n++)
		assert_int_equal(stream_check(out.data, n, &payload, &err), -EBADMSG);
	wbuf_release(&out);
}

static void test_bounds(void **state)
{
	struct stream_header header;
	struct err err = ERR_INIT;
	struct wbuf out;

	(void)state;
	wbuf_init(&out, 1000);
	for (uint32_t type = 0; type < STREAM_TYPES_END + 2; type++) {
		bool known = type >= STREAM_OFFER && type < STREAM_TYPES_END;

		for (uint32_t over = 0; over < 2; over++) {
			out.len = 0;
			stream_begin(&out, type, 0);
			wbuf_patch_u32(&out, 12, (uint32_t)stream_max(type, PAGE) + over);
			assert_int_equal(stream_header_decode(out.data, 0, PAGE, &header, &err),
					 known && !over ? 0 : -EBADMSG);
		}
	}
	/* No pages before their size is known. */
	out.len = 0;
	stream_begin(&out, STREAM_PAGES, 0);
	wbuf_patch_u32(&out, 12, 1);
	assert_int_equal(stream_header_decode(out.data, 0, 0, &header, &err), -EBADMSG);
	wbuf_release(&out);
}

static void test_offer(void **state)
{
	struct wbuf compat, config, out;
	struct rbuf in, a, b;
	struct err err = ERR_INIT;
	struct snap_info got;
	uint8_t late = 0;

	(void)state;
	wbuf_init(&compat, 100);
	wbuf_init(&config, 100);
	wbuf_init(&out, 1000);
	wbuf_bytes(&compat, "one", 3);
	wbuf_bytes(&config, "other", 5);
	stream_offer_encode(&out, &geometry, 1, &compat, &config);
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(stream_offer_decode(&in, &got, &late, &a, &b, &err), 0);
	assert_int_equal(late, 1);
	assert_memory_equal(got.uuid, geometry.uuid, sizeof(got.uuid));
	assert_int_equal(got.page_size, PAGE);
	assert_true(got.tags);
	assert_int_equal(got.nbanks, 2);
	assert_string_equal(got.bank[1].name, "pvtime");
	assert_int_equal(got.bank[1].gpa, 0x1020000);
	assert_int_equal(got.bank[0].size, 100 * PAGE);
	assert_int_equal(a.len, 3);
	assert_memory_equal(b.data, "other", 5);
	for (size_t n = 0; n < out.len; n++) {
		rbuf_init(&in, out.data, n);
		assert_int_equal(stream_offer_decode(&in, &got, &late, &a, &b, &err), -EBADMSG);
	}
	wbuf_u8(&out, 0);
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(stream_offer_decode(&in, &got, &late, &a, &b, &err), -EBADMSG);
	wbuf_release(&out);
	wbuf_release(&compat);
	wbuf_release(&config);
}

static void refused_late(struct snap_info *g, uint8_t late)
{
	struct wbuf none, out;
	struct err err = ERR_INIT;
	struct snap_info got;
	struct rbuf in, a, b;

	wbuf_init(&none, 10);
	wbuf_init(&out, 10000);
	stream_offer_encode(&out, g, late, &none, &none);
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(stream_offer_decode(&in, &got, &late, &a, &b, &err), -EBADMSG);
	*g = geometry;
	wbuf_release(&out);
}

static void refused_offer(struct snap_info *g)
{
	refused_late(g, 0);
}

static void test_offer_hostile(void **state)
{
	struct snap_info g = geometry;

	(void)state;
	g.page_size = 8192;
	refused_offer(&g);
	refused_late(&g, 3); /* no such bank */
	g.page_size = 0;
	refused_offer(&g);
	g.nbanks = 0;
	refused_offer(&g);
	g.bank[0].size = 0;
	refused_offer(&g);
	g.bank[0].size = PAGE - 1;
	refused_offer(&g);
	g.bank[0].gpa = 1;
	refused_offer(&g);
	g.bank[0].gpa = -(uint64_t)PAGE;
	refused_offer(&g);
	g.bank[0].size = 1ull << 63;
	refused_offer(&g);
	memset(g.bank[1].name, 0, sizeof(g.bank[1].name));
	refused_offer(&g);
}

/* Post-copy's messages. */
static void test_missing(void **state)
{
	const uint64_t words[3] = {1, 0, 0xf};
	struct err err = ERR_INIT;
	uint64_t first = 0;
	struct wbuf out;
	struct rbuf in;
	size_t n = 0;

	(void)state;
	wbuf_init(&out, 1000);
	stream_missing_encode(&out, 2, words, 3);
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(stream_missing_decode(&in, 4 * 64 + 4, 0, &first, &n, &err), 0);
	assert_int_equal(first, 2);
	assert_int_equal(n, 3);
	assert_int_equal(rbuf_u64(&in), 1);
	/* Told twice, behind the end by a page, a word, or much more; cut. */
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(stream_missing_decode(&in, 400, 3, &first, &n, &err), -EBADMSG);
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(stream_missing_decode(&in, 4 * 64 + 3, 0, &first, &n, &err), -EBADMSG);
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(stream_missing_decode(&in, 4 * 64, 0, &first, &n, &err), -EBADMSG);
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(stream_missing_decode(&in, 64, 0, &first, &n, &err), -EBADMSG);
	for (size_t len = 0; len < out.len; len++) {
		rbuf_init(&in, out.data, len);
		assert_int_equal(stream_missing_decode(&in, 400, 0, &first, &n, &err),
				 len >= 16 && len % 8 == 0 ? 0 : -EBADMSG);
	}
	memset(out.data, 0xff, 8);
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(stream_missing_decode(&in, 400, 0, &first, &n, &err), -EBADMSG);
	wbuf_release(&out);
}

static void test_request(void **state)
{
	uint64_t page[STREAM_REQUEST_PAGES + 1] = {5, 399}, got[STREAM_REQUEST_PAGES];
	struct err err = ERR_INIT;
	uint8_t id[16];
	struct wbuf out;
	struct rbuf in;
	size_t n = 0;

	(void)state;
	wbuf_init(&out, 1000);
	stream_request_encode(&out, page, STREAM_REQUEST_PAGES + 1);
	for (size_t len = 0; len <= out.len; len++) {
		bool good = len && len % 8 == 0 && len <= STREAM_REQUEST_PAGES * 8;

		rbuf_init(&in, out.data, len);
		assert_int_equal(stream_request_decode(&in, 400, got, &n, &err),
				 good ? 0 : -EBADMSG);
		if (good)
			assert_int_equal(n, len / 8);
	}
	rbuf_init(&in, out.data, 16);
	assert_int_equal(stream_request_decode(&in, 399, got, &n, &err), -EBADMSG);
	for (size_t len = 0; len < 20; len++) {
		rbuf_init(&in, out.data, len);
		assert_int_equal(stream_rejoin_decode(&in, id, &err), len == 16 ? 0 : -EBADMSG);
	}
	wbuf_release(&out);
}

struct sample {
	uint8_t data[STREAM_CHUNK_PAGES][PAGE], scratch[STREAM_CHUNK_PAGES * PAGE];
	uint8_t tags[STREAM_CHUNK_PAGES * TAGS], got[STREAM_CHUNK_PAGES * TAGS];
	struct stream_pages p;
	struct wbuf out;
};

/* Pages of the chunk that are here have data and tags that can be told from each other's. */
static void make(struct sample *s, uint8_t codec, uint64_t here, uint64_t zero)
{
	struct err err = ERR_INIT;
	struct stream_packer *packer;
	const void *page[STREAM_CHUNK_PAGES] = {NULL};
	uint64_t data, tags;
	size_t n = 0;

	memset(s, 0, sizeof(*s));
	for (unsigned int i = 0; i < STREAM_CHUNK_PAGES; i++) {
		if (!(here >> i & 1))
			continue;
		memset(s->data[i], (int)i + 1, PAGE);
		s->data[i][i] = 0xee;
		memset(s->tags + n * TAGS, i % 3 ? 0x11 : 0, TAGS);
		for (unsigned int k = 0; k < TAGS && i % 3 == 2; k++)
			s->tags[n * TAGS + k] = (uint8_t)(k * 7);
		page[i] = s->data[i];
		n++;
	}
	s->p = (struct stream_pages){.codec = codec, .here = here, .zero = zero};
	assert_int_equal(stream_packer_init(&packer, PAGE, codec, &err), 0);
	wbuf_init(&s->out, 1 << 20);
	stream_pages_encode(packer, &s->out, &s->p, page, s->tags, &data, &tags);
	assert_int_equal(s->out.error, 0);
	assert_int_equal(s->out.len, 34 + data + tags);
	assert_true(s->out.len <= stream_max(STREAM_PAGES, PAGE));
	stream_packer_release(packer);
}

static int take(struct sample *s, size_t len, const struct snap_info *g)
{
	struct err err = ERR_INIT;
	const uint8_t *data;
	size_t n = 0;
	struct rbuf in;
	int rc;

	rbuf_init(&in, s->out.data, len);
	rc = stream_pages_decode(&in, g, &s->p, &err);
	if (!rc)
		rc = stream_tags_decode(&s->p, g, s->got, &err);
	if (!rc)
		rc = stream_data_decode(&s->p, g, s->scratch, &data, &err);
	assert_true(!rc == !err.msg[0]);
	for (unsigned int i = 0; !rc && i < STREAM_CHUNK_PAGES; i++)
		if (s->p.here >> i & 1)
			assert_memory_equal(data + n++ * PAGE, s->data[i], PAGE);
	if (!rc)
		assert_memory_equal(s->got, s->tags, n * TAGS);
	return rc;
}

static void test_pages(void **state)
{
	static const uint64_t heres[] = {1, ~0ull, 0x8000000000000001, 0x00ff00f0, 0};
	struct sample *s = malloc(sizeof(*s));

	(void)state;
	assert_non_null(s);
	for (unsigned int i = 0; i < sizeof(heres) / sizeof(heres[0]); i++) {
		for (uint8_t codec = SNAP_RAW; codec <= SNAP_ZSTD; codec++) {
			make(s, codec, heres[i], heres[i] ? 0 : 6);
			assert_int_equal(take(s, s->out.len, &geometry), 0);
			assert_int_equal(s->p.here, heres[i]);
			assert_int_equal(s->p.codec, heres[i] ? codec : SNAP_RAW);
			wbuf_release(&s->out);
		}
	}
	free(s);
}

static void test_pages_cut(void **state)
{
	struct sample *s = malloc(sizeof(*s));

	(void)state;
	assert_non_null(s);
	for (uint8_t codec = SNAP_RAW; codec <= SNAP_ZSTD; codec++) {
		make(s, codec, 7, 8);
		for (size_t n = 0; n < s->out.len; n++)
			assert_int_equal(take(s, n, &geometry), -EBADMSG);
		wbuf_u8(&s->out, 0);
		assert_int_equal(take(s, s->out.len, &geometry), -EBADMSG);
		wbuf_release(&s->out);
	}
	free(s);
}

static void test_pages_hostile(void **state)
{
	struct snap_info g = geometry, bare = geometry;
	struct sample *s = malloc(sizeof(*s));

	(void)state;
	assert_non_null(s);
	make(s, SNAP_RAW, 7, 8);
	s->out.data[0] = 2; /* bank */
	assert_int_equal(take(s, s->out.len, &geometry), -EBADMSG);
	s->out.data[0] = 1; /* of 16 pages: fits */
	assert_int_equal(take(s, s->out.len, &geometry), 0);
	g.bank[1].size = 3 * PAGE;
	assert_int_equal(take(s, s->out.len, &g), -EBADMSG);
	s->out.data[0] = 0;
	s->out.data[1] = 2; /* codec */
	assert_int_equal(take(s, s->out.len, &geometry), -EBADMSG);
	s->out.data[1] = SNAP_ZSTD; /* it is not */
	assert_int_equal(take(s, s->out.len, &geometry), -EBADMSG);
	s->out.data[1] = SNAP_RAW;
	s->out.data[2] = 1; /* chunk: page 67 of 100 is there, 131 is not */
	assert_int_equal(take(s, s->out.len, &geometry), 0);
	s->out.data[2] = 2;
	assert_int_equal(take(s, s->out.len, &geometry), -EBADMSG);
	s->out.data[2] = 0;
	s->out.data[9] = 0x80; /* times 64 it would be 0 again */
	assert_int_equal(take(s, s->out.len, &geometry), -EBADMSG);
	s->out.data[9] = 0;
	s->out.data[18] = 4; /* zero and here */
	assert_int_equal(take(s, s->out.len, &geometry), -EBADMSG);
	s->out.data[18] = 8;
	bare.tags = false; /* tags that nobody has */
	assert_int_equal(take(s, s->out.len, &bare), -EBADMSG);
	assert_int_equal(take(s, s->out.len, &geometry), 0);
	wbuf_release(&s->out);
	free(s);
}

static void test_abort(void **state)
{
	struct err why = ERR_INIT, err = ERR_INIT;
	char text[8000];
	struct wbuf out;
	struct rbuf in;

	(void)state;
	wbuf_init(&out, 10000);
	stream_abort_encode(&out, -ENOSPC, "no\nroom\033[2J");
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(stream_abort_decode(&in, &why, &err), 0);
	assert_string_equal(why.msg, "no?room?[2J");
	for (size_t n = 0; n < out.len; n++) {
		rbuf_init(&in, out.data, n);
		assert_int_equal(stream_abort_decode(&in, &why, &err), -EBADMSG);
	}
	out.len = 0;
	stream_abort_encode(&out, 0, "fine");
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(stream_abort_decode(&in, &why, &err), -EBADMSG);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	out.len = 0;
	stream_abort_encode(&out, -EIO, text);
	assert_true(out.len <= stream_max(STREAM_ABORT, 0));
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(stream_abort_decode(&in, &why, &err), 0);
	wbuf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),	      cmocka_unit_test(test_frame),
		cmocka_unit_test(test_bounds),	      cmocka_unit_test(test_offer),
		cmocka_unit_test(test_offer_hostile), cmocka_unit_test(test_pages),
		cmocka_unit_test(test_pages_cut),     cmocka_unit_test(test_pages_hostile),
		cmocka_unit_test(test_missing),	      cmocka_unit_test(test_request),
		cmocka_unit_test(test_abort),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
