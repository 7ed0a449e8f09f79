/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Small snapshots whose every byte can be computed again. The golden files were written from these functions: what they
 * give must never change; add new ones instead.
 */
#ifndef LKVM_TESTS_SNAP_SAMPLE_H
#define LKVM_TESTS_SNAP_SAMPLE_H

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state/record.h"
#include "state/snapfile.h"

struct sample {
	const char *name;
	uint32_t page_size;
	bool tags;
	enum snap_codec codec;
	bool parent;
};

enum page_kind { PAGE_HERE, PAGE_ABSENT, PAGE_OLD };

/* Two banks: one whole chunk and 6 pages, and 3 pages. The second chunk of the first has nothing in the file. */
static void sample_info(const struct sample *s, struct snap_info *info)
{
	*info = (struct snap_info){.page_size = s->page_size, .tags = s->tags, .nbanks = 2};
	for (unsigned int i = 0; i < 16; i++) {
		info->uuid[i] = (uint8_t)(0xa0 + i + s->parent);
		info->parent[i] = s->parent ? (uint8_t)(0xa0 + i) : 0;
	}
	info->bank[0] = (struct snap_bank){"ram", 0x80000000, 70ull * s->page_size};
	info->bank[1] = (struct snap_bank){"flash", 0, 3ull * s->page_size};
}

static enum page_kind sample_kind(const struct sample *s, uint32_t bank, uint64_t page)
{
	if (bank == 0 && page != 1 && page != 5 && page != 6)
		return s->parent && page != 9 ? PAGE_OLD : PAGE_ABSENT;
	if (bank == 1 && page == 1)
		return s->parent ? PAGE_OLD : PAGE_ABSENT;
	return PAGE_HERE;
}

static uint32_t sample_next(uint32_t *x)
{
	*x = *x * 1664525 + 1013904223;
	return *x >> 16;
}

/* Bank 1 and page 5 do not compress, the others do, and one is zero with tags. */
static void sample_page(const struct sample *s, uint32_t bank, uint64_t page, uint8_t *data)
{
	uint32_t x = (uint32_t)(page * 7 + bank + s->parent);

	for (uint32_t i = 0; i < s->page_size; i++) {
		uint8_t noise = (uint8_t)sample_next(&x);

		data[i] = bank || page == 5 ? noise : page == 6 ? 0 : (uint8_t)(i / 64 + page);
	}
}

/* Uniform, runs, packed. */
static void sample_tags(const struct sample *s, uint32_t bank, uint64_t page, uint8_t *tags)
{
	uint32_t x = (uint32_t)(page * 3 + bank + s->parent);

	for (uint32_t i = 0; i < s->page_size / 32; i++) {
		uint8_t noise = (uint8_t)sample_next(&x);

		tags[i] = page == 1 ? 0x77 : page == 5 ? noise : (uint8_t)(0x11 * (i / 48 % 16));
	}
}

static void sample_record(struct wbuf *b, enum record_type type, const char *payload)
{
	size_t start = record_begin(b, type, 1, RECORD_MUST, 0);

	wbuf_bytes(b, payload, strlen(payload));
	record_end(b, start);
}

static void sample_records(struct wbuf *compat, struct wbuf *state)
{
	wbuf_init(compat, 4096);
	wbuf_init(state, 4096);
	sample_record(compat, RECORD_COMPAT, "compat of a sample");
	sample_record(state, RECORD_CONFIG, "config");
	sample_record(state, RECORD_VCPU, "");
	sample_record(state, RECORD_END, "");
}

static uint64_t sample_chunks(const struct snap_info *info, uint32_t bank)
{
	uint64_t pages = info->bank[bank].size / info->page_size;

	return (pages + SNAP_CHUNK_PAGES - 1) / SNAP_CHUNK_PAGES;
}

static void sample_bits(const struct sample *s, const struct snap_info *info, uint32_t bank,
			uint64_t chunk, uint64_t *here, uint64_t *absent)
{
	*here = *absent = 0;
	for (uint64_t i = 0; i < SNAP_CHUNK_PAGES; i++) {
		uint64_t page = chunk * SNAP_CHUNK_PAGES + i;

		if (page >= info->bank[bank].size / info->page_size)
			break;
		switch (sample_kind(s, bank, page)) {
		case PAGE_HERE:
			*here |= 1ull << i;
			break;
		case PAGE_ABSENT:
			*absent |= 1ull << i;
			break;
		case PAGE_OLD:
			break;
		}
	}
}

static inline int sample_write_chunk(struct snap_writer *w, const struct sample *s,
				     const struct snap_info *info, uint32_t bank, uint64_t chunk,
				     struct err *err)
{
	size_t size = s->page_size, n = 0;
	uint8_t *data = malloc(SNAP_CHUNK_PAGES * size);
	uint8_t *tags = malloc(SNAP_CHUNK_PAGES * size / 32);
	const void *pages[SNAP_CHUNK_PAGES];
	uint64_t here, absent;
	int rc;

	assert_non_null(data);
	assert_non_null(tags);
	sample_bits(s, info, bank, chunk, &here, &absent);
	for (uint64_t i = 0; i < SNAP_CHUNK_PAGES; i++) {
		if (!(here >> i & 1))
			continue;
		/* At the page's own place: some are neighbours, some are not. */
		pages[n] = data + i * size;
		sample_page(s, bank, chunk * SNAP_CHUNK_PAGES + i, data + i * size);
		sample_tags(s, bank, chunk * SNAP_CHUNK_PAGES + i, tags + n * size / 32);
		n++;
	}
	rc = snap_writer_chunk(w, bank, chunk, here, absent, pages, s->tags ? tags : NULL, err);
	free(data);
	free(tags);
	return rc;
}

/* All of it, by one thread: the same bytes each time. */
static inline int sample_write(int fd, const struct sample *s, struct snap_info *done,
			       struct err *err)
{
	struct wbuf compat, state;
	struct snap_writer *w;
	struct snap_info info;
	int rc;

	sample_info(s, &info);
	sample_records(&compat, &state);
	rc = snap_writer_open(fd, &info, s->codec, 3, &w, err);
	if (!rc) {
		rc = snap_writer_compat(w, &compat, err);
		if (!rc)
			rc = snap_writer_state(w, &state, err);
		for (uint32_t bank = 0; bank < info.nbanks; bank++)
			for (uint64_t c = 0; !rc && c < sample_chunks(&info, bank); c++)
				rc = sample_write_chunk(w, s, &info, bank, c, err);
		if (!rc)
			rc = snap_writer_finish(w, done, err);
		snap_writer_close(w);
	}
	wbuf_release(&compat);
	wbuf_release(&state);
	return rc;
}

static inline int sample_check_chunk(struct snap_reader *r, const struct sample *s, uint32_t bank,
				     uint64_t chunk, struct err *err)
{
	const struct snap_info *info = snap_reader_info(r);
	size_t size = s->page_size, n = 0;
	uint64_t here, absent, want_here, want_absent;
	/* Static, for this is called a hundred thousand times. */
	static uint8_t data[(SNAP_CHUNK_PAGES + 1) * 65536], *want = data;
	static uint8_t tags[(SNAP_CHUNK_PAGES + 1) * 2048], *want_tags = tags;
	void *pages[SNAP_CHUNK_PAGES];
	int rc;

	sample_bits(s, info, bank, chunk, &want_here, &want_absent);
	snap_reader_look(r, bank, chunk, &here, &absent);
	assert_int_equal(here, want_here);
	assert_int_equal(absent, want_absent);

	/* The first page's worth of each buffer is for what it should be. */
	for (uint64_t i = 0; i < SNAP_CHUNK_PAGES; i++)
		if (here >> i & 1)
			pages[n++] = data + (i + 1) * size;
	for (size_t i = 0; i < n; i++)
		memset(pages[i], 0xee, size);
	memset(tags, 0xee, (n + 1) * size / 32);
	rc = snap_reader_chunk(r, bank, chunk, pages, s->tags ? tags + size / 32 : NULL, err);
	n = 0;
	for (uint64_t i = 0; !rc && i < SNAP_CHUNK_PAGES; i++) {
		if (!(here >> i & 1))
			continue;
		sample_page(s, bank, chunk * SNAP_CHUNK_PAGES + i, want);
		assert_memory_equal(pages[n], want, size);
		n++;
		if (!s->tags)
			continue;
		sample_tags(s, bank, chunk * SNAP_CHUNK_PAGES + i, want_tags);
		assert_memory_equal(tags + n * size / 32, want_tags, size / 32);
	}
	return rc;
}

/* Opens and reads all there is. 0: it is this sample, whole. A test fails for data that are wrong without an error. */
static inline int sample_check(int fd, const struct sample *s, struct err *err)
{
	struct wbuf compat, state, got_compat, got_state;
	struct snap_reader *r;
	int rc = snap_reader_open(fd, "test.snap", &r, err);

	if (rc)
		return rc;
	sample_records(&compat, &state);
	wbuf_init(&got_compat, 4096);
	wbuf_init(&got_state, 4096);
	rc = snap_reader_compat(r, &got_compat, err);
	if (!rc) {
		assert_int_equal(got_compat.len, compat.len);
		assert_memory_equal(got_compat.data, compat.data, compat.len);
		rc = snap_reader_state(r, &got_state, err);
	}
	if (!rc) {
		assert_int_equal(got_state.len, state.len);
		assert_memory_equal(got_state.data, state.data, state.len);
	}
	if (!rc) {
		const struct snap_info *info = snap_reader_info(r);
		struct snap_info want;

		sample_info(s, &want);
		assert_int_equal(info->version, SNAP_VERSION);
		assert_int_equal(info->page_size, want.page_size);
		assert_int_equal(info->tags, want.tags);
		assert_memory_equal(info->uuid, want.uuid, 16);
		assert_memory_equal(info->parent, want.parent, 16);
		assert_int_equal(info->nbanks, want.nbanks);
		for (uint32_t b = 0; b < want.nbanks; b++) {
			assert_string_equal(info->bank[b].name, want.bank[b].name);
			assert_int_equal(info->bank[b].gpa, want.bank[b].gpa);
			assert_int_equal(info->bank[b].size, want.bank[b].size);
			for (uint64_t c = 0; !rc && c < sample_chunks(info, b); c++)
				rc = sample_check_chunk(r, s, b, c, err);
		}
	}
	snap_reader_close(r);
	wbuf_release(&compat);
	wbuf_release(&state);
	wbuf_release(&got_compat);
	wbuf_release(&got_state);
	return rc;
}

static inline int new_file(void)
{
	int fd = memfd_create("test.snap", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline int sample_file(const struct sample *s)
{
	struct err err = ERR_INIT;
	int fd = new_file();

	if (sample_write(fd, s, NULL, &err))
		fail_msg("%s: %s", s->name, err.msg);
	return fd;
}

#endif
