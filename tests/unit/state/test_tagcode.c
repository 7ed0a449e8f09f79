/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../../tagpattern.h"
#include "state/tagcode.h"

static const size_t pages[] = {4096, 16384, 65536};

struct bench {
	uint64_t seed;
	struct tag_shape shape, back;
	uint8_t *packed, *out; /* exactly as large as a page needs, for AddressSanitizer */
	size_t page, bytes;
};

static void bench_init(struct bench *b, size_t page)
{
	memset(b, 0, sizeof(*b));
	b->seed = page;
	b->page = page;
	b->bytes = tagcode_packed_size(page);
	b->packed = malloc(b->bytes);
	b->out = malloc(b->bytes);
	assert_non_null(b->packed);
	assert_non_null(b->out);
}

static void bench_release(struct bench *b)
{
	free(b->packed);
	free(b->out);
}

/* One granule at a time: what the classes mean. */
static unsigned int count_runs(const uint8_t *packed, size_t page)
{
	unsigned int runs = 1;

	for (size_t i = 1; i < page / TAGCODE_GRANULE; i++)
		runs += (packed[i / 2] >> (i & 1) * 4 & 15) !=
			(packed[(i - 1) / 2] >> ((i - 1) & 1) * 4 & 15);
	return runs;
}

static void check_round_trip(struct bench *b)
{
	unsigned int runs = count_runs(b->packed, b->page);
	bool few = runs <= b->page / TAGCODE_GRANULE / 8;
	struct wbuf w;
	struct rbuf r;

	tagcode_classify(b->packed, b->page, &b->shape);
	assert_int_equal(b->shape.class, runs == 1 ? TAGS_UNIFORM : few ? TAGS_RUNS : TAGS_PACKED);
	if (b->shape.class == TAGS_RUNS)
		assert_int_equal(b->shape.runs, runs);

	wbuf_init(&w, TAGCODE_BYTES_MAX);
	tagcode_encode(&b->shape, b->shape.class == TAGS_PACKED ? b->packed : NULL, b->page, &w);
	assert_int_equal(w.error, 0);
	assert_int_equal(w.len, runs == 1 ? 1 : few ? 1 + 2 * runs : 1 + b->bytes);

	rbuf_init(&r, w.data, w.len);
	memset(b->out, 0xee, b->bytes);
	assert_int_equal(tagcode_decode(&r, b->page, &b->back, b->out, NULL), 0);
	assert_int_equal(rbuf_done(&r), 0);
	assert_int_equal(b->back.class, b->shape.class);
	tagcode_expand(&b->back, b->page, b->out);
	assert_memory_equal(b->out, b->packed, b->bytes);

	/* Cut anywhere, it is refused. */
	for (size_t len = 0; len < w.len; len += 1 + len / 40) {
		uint8_t *cut = malloc(len ? len : 1);
		struct err err = ERR_INIT;

		assert_non_null(cut);
		memcpy(cut, w.data, len);
		rbuf_init(&r, cut, len);
		assert_int_equal(tagcode_decode(&r, b->page, &b->back, b->out, &err), -EBADMSG);
		assert_true(err.msg[0]);
		free(cut);
	}
	wbuf_release(&w);
}

static void patterns_round_trip(void **state)
{
	struct bench *b = malloc(sizeof(*b));

	(void)state;
	assert_non_null(b);
	for (unsigned int i = 0; i < 3; i++) {
		bench_init(b, pages[i]);
		for (unsigned int k = 0; k < 40 * PATTERNS; k++) {
			pattern_make(k % PATTERNS, b->page, &b->seed, b->packed);
			check_round_trip(b);
		}
		bench_release(b);
	}
	free(b);
}

/* Every length and place of a run, and every number of runs around the limit. */
static void edges_of_runs(void **state)
{
	struct bench *b = malloc(sizeof(*b));

	(void)state;
	assert_non_null(b);
	bench_init(b, 4096);
	for (size_t from = 0; from < 256; from += 3) {
		for (size_t to = from; to <= 256; to += 5) {
			memset(b->packed, 0x33, b->bytes);
			for (size_t g = from; g < to; g++)
				pattern_set(b->packed, g, 12);
			check_round_trip(b);
		}
	}
	for (unsigned int runs = 30; runs < 36; runs++) {
		memset(b->packed, 0, b->bytes);
		for (size_t g = 0; g < 256; g++)
			pattern_set(b->packed, g, g < runs - 1 ? 1 + g % 2 : 0);
		assert_int_equal(count_runs(b->packed, 4096), runs);
		check_round_trip(b);
	}
	bench_release(b);
	free(b);
}

/* The bytes themselves: files depend on them. */
static void bytes_are_pinned(void **state)
{
	static const uint8_t runs[] = {0x10, 0x25, 0x00, 0xca, 0x0f}; /* 3 of 5, 253 of 10 */
	struct bench *b = malloc(sizeof(*b));
	struct wbuf w;

	(void)state;
	assert_non_null(b);
	bench_init(b, 4096);
	wbuf_init(&w, 4096);

	memset(b->packed, 0, b->bytes);
	tagcode_classify(b->packed, 4096, &b->shape);
	tagcode_encode(&b->shape, b->packed, 4096, &w);
	memset(b->packed, 0xdd, b->bytes);
	tagcode_classify(b->packed, 4096, &b->shape);
	tagcode_encode(&b->shape, b->packed, 4096, &w);
	assert_int_equal(w.len, 2);
	assert_memory_equal(w.data, "\x00\x0d", 2);

	w.len = 0;
	memset(b->packed, 0xaa, b->bytes);
	memcpy(b->packed, "\x55\xa5", 2);
	tagcode_classify(b->packed, 4096, &b->shape);
	tagcode_encode(&b->shape, b->packed, 4096, &w);
	assert_int_equal(w.len, sizeof(runs));
	assert_memory_equal(w.data, runs, sizeof(runs));

	w.len = 0;
	for (size_t i = 0; i < b->bytes; i++)
		b->packed[i] = 0x21 + i;
	tagcode_classify(b->packed, 4096, &b->shape);
	tagcode_encode(&b->shape, b->packed, 4096, &w);
	assert_int_equal(w.len, 129);
	assert_int_equal(w.data[0], 0x20);
	assert_memory_equal(w.data + 1, b->packed, 128);
	wbuf_release(&w);
	bench_release(b);
	free(b);
}

/* What no encoder writes, with the words that name it. */
static void lies_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *says;
	} lies[] = {
		{"", 0, "nothing"},
		{"\x11", 1, "unknown form 0x11"},
		{"\x21", 1, "unknown form 0x21"},
		{"\xff", 1, "unknown form 0xff"},
		{"\x10", 1, "cut short"},
		{"\x10\xf1\x0f", 3, "single run"},
		{"\x10\xf1\x07\xf1\x07", 5, "run 1 has the tag 1 of"},
		{"\x10\xf1\x07\x02\x08", 5, "run 1 has 129 granules where 128 are left"},
		{"\x10\xf1\xff", 3, "run 0 has 4096 granules where 256 are left"},
		{"\x20", 1, "cut short"},
	};
	struct bench *b = malloc(sizeof(*b));
	uint8_t many[1 + 2 * 256];

	(void)state;
	assert_non_null(b);
	bench_init(b, 4096);
	for (unsigned int i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct err err = ERR_INIT;
		struct rbuf r;

		rbuf_init(&r, lies[i].bytes, lies[i].len);
		assert_int_equal(tagcode_decode(&r, 4096, &b->back, b->out, &err), -EBADMSG);
		assert_non_null(strstr(err.msg, lies[i].says));
	}
	/* A run a granule: more than fit in struct tag_shape, were it not bounded. */
	many[0] = 0x10;
	for (unsigned int i = 0; i < 256; i++) {
		many[1 + 2 * i] = i & 1;
		many[2 + 2 * i] = 0;
	}
	for (unsigned int i = 0; i < 3; i++) {
		struct err err = ERR_INIT;
		struct rbuf r;

		rbuf_init(&r, many, sizeof(many));
		assert_int_equal(tagcode_decode(&r, pages[i], &b->back, b->out, &err), -EBADMSG);
		assert_non_null(strstr(err.msg, i ? "" : "more than 32 runs"));
	}
	{
		struct err err = ERR_INIT;
		struct rbuf r;

		rbuf_init(&r, "\x05", 1);
		assert_int_equal(tagcode_decode(&r, 8192, &b->back, b->out, &err), -EBADMSG);
	}
	bench_release(b);
	free(b);
}

/*
 * Random bytes, and good encodings with some bytes changed: either refused, or a page of tags that is encoded and
 * decoded to the same.
 */
static void hostile_bytes(void **state)
{
	struct bench *b = malloc(sizeof(*b));
	unsigned int taken = 0;

	(void)state;
	assert_non_null(b);
	for (unsigned int i = 0; i < 60000; i++) {
		size_t len, page = pages[i % 16 ? 0 : i / 16 % 3];
		struct wbuf w;
		struct rbuf r;
		uint8_t *in;

		bench_init(b, page);
		b->seed = i;
		wbuf_init(&w, TAGCODE_BYTES_MAX);
		pattern_make(pattern_random(&b->seed) % PATTERNS, page, &b->seed, b->packed);
		tagcode_classify(b->packed, page, &b->shape);
		tagcode_encode(&b->shape, b->packed, page, &w);
		len = w.len;
		in = malloc(len);
		assert_non_null(in);
		memcpy(in, w.data, len);
		for (unsigned int k = 0; k < i % 5; k++)
			in[pattern_random(&b->seed) % len] = pattern_random(&b->seed);
		if (i % 7 == 0)
			for (size_t k = 1; k < len; k++)
				in[k] = pattern_random(&b->seed);
		rbuf_init(&r, in, len);
		if (tagcode_decode(&r, page, &b->shape, b->packed, NULL) == 0) {
			taken++;
			tagcode_expand(&b->shape, page, b->packed);
			check_round_trip(b);
		}
		free(in);
		wbuf_release(&w);
		bench_release(b);
	}
	assert_true(taken > 1000 && taken < 59000);
	free(b);
}

/* Pages follow one another in a stream. */
static void pages_in_a_row(void **state)
{
	struct bench *b = malloc(sizeof(*b));
	uint64_t seed;
	struct wbuf w;
	struct rbuf r;

	(void)state;
	assert_non_null(b);
	bench_init(b, 4096);
	wbuf_init(&w, 1 << 20);
	for (unsigned int pass = 0; pass < 2; pass++) {
		seed = 99;
		for (unsigned int i = 0; i < 500; i++) {
			pattern_make(pattern_random(&seed) % PATTERNS, 4096, &seed, b->packed);
			if (!pass) {
				tagcode_classify(b->packed, 4096, &b->shape);
				tagcode_encode(&b->shape, b->packed, 4096, &w);
				continue;
			}
			assert_int_equal(tagcode_decode(&r, 4096, &b->back, b->out, NULL), 0);
			tagcode_expand(&b->back, 4096, b->out);
			assert_memory_equal(b->out, b->packed, b->bytes);
		}
		if (!pass)
			rbuf_init(&r, w.data, w.len);
	}
	assert_int_equal(rbuf_done(&r), 0);
	wbuf_release(&w);
	bench_release(b);
	free(b);
}

/* Pages by themselves and all at once: the same bytes, and the same tags from them. */
static void pages_alike(void **state)
{
	static const size_t counts[] = {1, 2, 63, 64};

	(void)state;
	for (unsigned int i = 0; i < 3 * 4 * 16; i++) {
		size_t page = pages[i % 3], n = counts[i / 3 % 4];
		size_t size = tagcode_packed_size(page), len = n * size;
		uint8_t *packed = malloc(len), *back = malloc(len), tag = i / 12;
		struct tag_shape shape;
		struct wbuf one, all;
		struct rbuf r;

		assert_non_null(packed);
		assert_non_null(back);
		memset(packed, tag * 0x11, len);
		wbuf_init(&one, 4096);
		wbuf_init(&all, 4096);
		for (size_t k = 0; k < n; k++) {
			tagcode_classify(packed + k * size, page, &shape);
			tagcode_encode(&shape, packed + k * size, page, &one);
		}
		assert_true(tagcode_encode_alike(packed, page, n, &all));
		assert_int_equal(one.len, all.len);
		assert_memory_equal(one.data, all.data, one.len);
		rbuf_init(&r, all.data, all.len);
		memset(back, 0xa5, len);
		assert_true(tagcode_decode_alike(&r, page, n, back));
		assert_int_equal(rbuf_done(&r), 0);
		assert_memory_equal(back, packed, len);

		/* Any one granule that is different: the first, the last, one on each side of a byte. */
		for (unsigned int where = 0; where < 4; where++) {
			size_t at = where / 2 ? len - 1 : 0;

			packed[at] ^= where & 1 ? 0x10 : 0x01;
			all.len = 0;
			assert_false(tagcode_encode_alike(packed, page, n, &all));
			assert_int_equal(all.len, 0);
			packed[at] ^= where & 1 ? 0x10 : 0x01;
		}
		wbuf_release(&one);
		wbuf_release(&all);
		free(packed);
		free(back);
	}
}

static void check_not_alike(const uint8_t *bytes, size_t len, size_t n)
{
	uint8_t *back = malloc(n * 128 + 1);
	struct rbuf r;

	assert_non_null(back);
	rbuf_init(&r, bytes, len);
	back[0] = 0xa5;
	assert_false(tagcode_decode_alike(&r, 4096, n, back));
	assert_int_equal(r.pos, 0);
	assert_int_equal(back[0], 0xa5);
	free(back);
}

/* All that is not pages of one tag is left to who looks at each by itself. */
static void what_is_not_alike(void **state)
{
	uint8_t packed[65 * 128] = {0}, bytes[65] = {0};
	struct wbuf w;

	(void)state;
	wbuf_init(&w, 4096);
	assert_false(tagcode_encode_alike(packed, 4096, 0, &w));
	assert_false(tagcode_encode_alike(packed, 4096, 65, &w));
	assert_int_equal(w.len, 0);
	wbuf_release(&w);

	check_not_alike(bytes, 0, 0);
	check_not_alike(bytes, 0, 1);
	check_not_alike(bytes, 3, 4);
	check_not_alike(bytes, 4, 3);
	bytes[3] = 1;
	check_not_alike(bytes, 4, 4);
	memset(bytes, 0x10, 4);
	check_not_alike(bytes, 4, 4);
	memset(bytes, 0x20, 4);
	check_not_alike(bytes, 4, 4);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(patterns_round_trip), cmocka_unit_test(edges_of_runs),
	cmocka_unit_test(bytes_are_pinned),    cmocka_unit_test(lies_are_refused),
	cmocka_unit_test(hostile_bytes),       cmocka_unit_test(pages_in_a_row),
	cmocka_unit_test(pages_alike),	       cmocka_unit_test(what_is_not_alike),
};

UNIT_MAIN(tests)
