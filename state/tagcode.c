/* SPDX-License-Identifier: GPL-2.0-only */
#include "state/tagcode.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define FORM_RUNS   0x10
#define FORM_PACKED 0x20

#define TAGS_PER_WORD 16
#define EVERY_NIBBLE  0x1111111111111111ull

static uint64_t word_at(const uint8_t *packed, size_t i)
{
	uint64_t w;

	memcpy(&w, packed + i * sizeof(w), sizeof(w));
	return le64toh(w);
}

static size_t max_runs(size_t page)
{
	return page / TAGCODE_GRANULE / 8;
}

/* Four words at a time: their differences to a word that holds the first tag 16 times. */
static bool is_uniform(const uint8_t *packed, size_t words)
{
	uint64_t all = (packed[0] & 15) * EVERY_NIBBLE;

	for (size_t i = 0; i < words; i += 4) {
		uint64_t diff = word_at(packed, i) ^ all;

		diff |= word_at(packed, i + 1) ^ all;
		diff |= word_at(packed, i + 2) ^ all;
		diff |= word_at(packed, i + 3) ^ all;
		if (diff)
			return false;
	}
	return true;
}

/* One bit for each nibble that is not zero, its lowest. */
static uint64_t nibbles_set(uint64_t w)
{
	w |= w >> 2;
	w |= w >> 1;
	return w & EVERY_NIBBLE;
}

/* How many bits are set in words whose nibbles have no more than the lowest; @sum is of 15 such words at most. */
static size_t count_nibbles(uint64_t sum)
{
	uint64_t mask = 0x0f0f0f0f0f0f0f0full;

	return ((sum & mask) + (sum >> 4 & mask)) * 0x0101010101010101ull >> 56;
}

/* Where the next run begins, and which it is. */
struct finder {
	struct tag_run *run;
	size_t start;
};

/* Bit 4 * g is set where granule g of @w differs from the one before it, at first the last of word @before. */
static inline uint64_t find_edges(uint64_t w, uint64_t before)
{
	return nibbles_set(w ^ (w << 4 | before >> 60));
}

/* Ends the present run and begins one at each of @edges; granule @at is the first of the word. */
static inline void cut(struct finder *f, uint64_t edges, uint64_t w, size_t at)
{
	for (; edges; edges &= edges - 1) {
		unsigned int bit = __builtin_ctzll(edges);
		size_t here = at + bit / 4;

		f->run->granules = here - f->start;
		f->start = here;
		f->run++;
		f->run->tag = w >> bit & 15;
	}
}

/*
 * False when there are more than @max. Four words at a time are counted before they are looked at more closely: of
 * tags that are all different that is the end of it.
 */
static bool find_runs(const uint8_t *packed, size_t words, size_t max, struct tag_shape *shape)
{
	struct finder f = {.run = shape->run};
	uint64_t before = (uint64_t)packed[0] << 60;
	size_t n = 1;

	f.run->tag = packed[0] & 15;
	for (size_t i = 0; i < words; i += 4) {
		uint64_t w0 = word_at(packed, i), w1 = word_at(packed, i + 1);
		uint64_t w2 = word_at(packed, i + 2), w3 = word_at(packed, i + 3);
		uint64_t e0 = find_edges(w0, before), e1 = find_edges(w1, w0);
		uint64_t e2 = find_edges(w2, w1), e3 = find_edges(w3, w2);

		before = w3;
		if (!(e0 | e1 | e2 | e3))
			continue;
		n += count_nibbles(e0 + e1 + e2 + e3);
		if (n > max)
			return false;
		cut(&f, e0, w0, i * TAGS_PER_WORD);
		cut(&f, e1, w1, (i + 1) * TAGS_PER_WORD);
		cut(&f, e2, w2, (i + 2) * TAGS_PER_WORD);
		cut(&f, e3, w3, (i + 3) * TAGS_PER_WORD);
	}
	f.run->granules = words * TAGS_PER_WORD - f.start;
	shape->runs = n;
	return true;
}

void tagcode_classify(const uint8_t *packed, size_t page, struct tag_shape *shape)
{
	size_t words = page / TAGCODE_GRANULE / TAGS_PER_WORD;

	if (is_uniform(packed, words)) {
		shape->class = TAGS_UNIFORM;
		shape->tag = packed[0] & 15;
	} else if (find_runs(packed, words, max_runs(page), shape)) {
		shape->class = TAGS_RUNS;
	} else {
		shape->class = TAGS_PACKED;
	}
}

static void encode_runs(const struct tag_shape *shape, struct wbuf *out)
{
	uint8_t bytes[1 + 2 * TAGCODE_RUNS_MAX], *p = bytes;

	*p++ = FORM_RUNS;
	for (unsigned int i = 0; i < shape->runs; i++) {
		unsigned int v = (shape->run[i].granules - 1u) << 4 | (shape->run[i].tag & 15);

		*p++ = v;
		*p++ = v >> 8;
	}
	wbuf_bytes(out, bytes, p - bytes);
}

void tagcode_encode(const struct tag_shape *shape, const uint8_t *packed, size_t page,
		    struct wbuf *out)
{
	switch (shape->class) {
	case TAGS_UNIFORM:
		wbuf_u8(out, shape->tag & 15);
		break;
	case TAGS_RUNS:
		encode_runs(shape, out);
		break;
	case TAGS_PACKED:
		wbuf_u8(out, FORM_PACKED);
		wbuf_bytes(out, packed, tagcode_packed_size(page));
		break;
	}
}

/* Each byte is as the one before it. */
static bool bytes_alike(const uint8_t *p, size_t len)
{
	return !memcmp(p, p + 1, len - 1);
}

bool tagcode_encode_alike(const uint8_t *packed, size_t page, size_t pages, struct wbuf *out)
{
	uint8_t forms[TAGCODE_ALIKE_MAX], tag = packed[0] & 15;

	if (!pages || pages > TAGCODE_ALIKE_MAX || packed[0] >> 4 != tag ||
	    !bytes_alike(packed, pages * tagcode_packed_size(page)))
		return false;
	memset(forms, tag, pages);
	wbuf_bytes(out, forms, pages);
	return true;
}

bool tagcode_decode_alike(struct rbuf *in, size_t page, size_t pages, uint8_t *packed)
{
	const uint8_t *forms = in->data + in->pos;

	if (in->error || !pages || rbuf_left(in) != pages || forms[0] > 15 ||
	    !bytes_alike(forms, pages))
		return false;
	memset(packed, forms[0] * 0x11, pages * tagcode_packed_size(page));
	in->pos += pages;
	return true;
}

/*
 * How many there are is known at the end only, so they are looked at in place and then skipped.
 */
static int decode_runs(struct rbuf *in, size_t page, struct tag_shape *shape, struct err *err)
{
	size_t left = page / TAGCODE_GRANULE, max = max_runs(page), there = rbuf_left(in) / 2;
	const uint8_t *p = in->data + in->pos;
	unsigned int before = 16; /* no tag */
	size_t n = 0;

	for (; left; n++, p += 2) {
		unsigned int granules, tag;

		if (n == there)
			return err_set(err, -EBADMSG,
				       "tags of a page: cut short after %zu runs, %zu granules "
				       "missing",
				       n, left);
		if (n == max)
			return err_set(err, -EBADMSG,
				       "tags of a page: more than %zu runs in %zu bytes", max,
				       page);
		granules = (p[0] >> 4 | p[1] << 4) + 1;
		tag = p[0] & 15;
		if (granules > left)
			return err_set(err, -EBADMSG,
				       "tags of a page: run %zu has %u granules where %zu are left",
				       n, granules, left);
		if (tag == before)
			return err_set(err, -EBADMSG,
				       "tags of a page: run %zu has the tag %u of the one before",
				       n, tag);
		shape->run[n].granules = granules;
		shape->run[n].tag = tag;
		before = tag;
		left -= granules;
	}
	if (n < 2)
		return err_set(err, -EBADMSG,
			       "tags of a page: a single run, which has a form of "
			       "its own");
	in->pos += 2 * n;
	shape->class = TAGS_RUNS;
	shape->runs = n;
	return 0;
}

int tagcode_decode(struct rbuf *in, size_t page, struct tag_shape *shape, uint8_t *packed,
		   struct err *err)
{
	uint8_t form = rbuf_u8(in);

	if (in->error)
		return err_set(err, -EBADMSG, "tags of a page: nothing there");
	if (!tagcode_page_ok(page))
		return err_set(err, -EBADMSG, "tags of a page: no page has %zu bytes", page);
	if (form <= 15) {
		shape->class = TAGS_UNIFORM;
		shape->tag = form;
		return 0;
	}
	if (form == FORM_RUNS)
		return decode_runs(in, page, shape, err);
	if (form != FORM_PACKED)
		return err_set(err, -EBADMSG, "tags of a page: unknown form 0x%02x", form);
	rbuf_bytes(in, packed, tagcode_packed_size(page));
	if (in->error)
		return err_set(err, -EBADMSG, "tags of a page: packed tags are cut short");
	shape->class = TAGS_PACKED;
	return 0;
}

/* A word at a time: what is not yet full is kept in @w, its first @at nibbles. */
static void expand_runs(const struct tag_shape *shape, uint8_t *packed)
{
	unsigned int at = 0;
	uint64_t w = 0;

	for (unsigned int i = 0; i < shape->runs; i++) {
		uint64_t all = shape->run[i].tag * EVERY_NIBBLE;
		unsigned int end = at + shape->run[i].granules;

		w |= all << at * 4;
		for (; end >= TAGS_PER_WORD; end -= TAGS_PER_WORD) {
			uint64_t le = htole64(w);

			memcpy(packed, &le, sizeof(le));
			packed += sizeof(le);
			w = all;
		}
		at = end;
		w &= (1ull << at * 4) - 1;
	}
}

void tagcode_expand(const struct tag_shape *shape, size_t page, uint8_t *packed)
{
	if (shape->class == TAGS_UNIFORM)
		memset(packed, (shape->tag & 15) * 0x11, tagcode_packed_size(page));
	else if (shape->class == TAGS_RUNS)
		expand_runs(shape, packed);
}
