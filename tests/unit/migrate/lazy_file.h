/* SPDX-License-Identifier: GPL-2.0-only */
/* A snapshot for the tests of lazy restore: one bank of five chunks and six pages, most of it absent. */
#ifndef LKVM_TESTS_LAZY_FILE_H
#define LKVM_TESTS_LAZY_FILE_H

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state/record.h"
#include "state/snapchain.h"

#define FILE_PAGES 326u
#define FILE_HERE  9u /* pages with content */
#define FILE_GPA   0x80000000ull

/* Three pages in each of chunks 0, 2 and 5. */
static inline bool file_has(unsigned int page)
{
	unsigned int chunk = page / SNAP_CHUNK_PAGES, i = page % SNAP_CHUNK_PAGES;

	return (chunk == 0 || chunk == 2 || chunk == 5) && (i == 1 || i == 2 || i == 5);
}

static inline uint8_t file_byte(unsigned int page)
{
	return (uint8_t)(page + 1);
}

static inline uint8_t file_tag(unsigned int page)
{
	return (uint8_t)(page * 7 + 3);
}

static inline void file_chunk(struct snap_writer *w, uint64_t chunk, size_t page_size)
{
	uint8_t *data = malloc(SNAP_CHUNK_PAGES * page_size);
	uint8_t *tags = malloc(SNAP_CHUNK_PAGES * page_size / 32);
	const void *list[SNAP_CHUNK_PAGES];
	uint64_t here = 0, valid = 0;
	struct err err = ERR_INIT;
	size_t n = 0;

	assert_true(data && tags);
	for (unsigned int i = 0; i < SNAP_CHUNK_PAGES; i++) {
		unsigned int page = (unsigned int)chunk * SNAP_CHUNK_PAGES + i;

		if (page < FILE_PAGES)
			valid |= 1ull << i;
		if (page >= FILE_PAGES || !file_has(page))
			continue;
		list[n] = memset(data + n * page_size, file_byte(page), page_size);
		memset(tags + n * page_size / 32, file_tag(page), page_size / 32);
		here |= 1ull << i;
		n++;
	}
	if (here)
		assert_int_equal(
			snap_writer_chunk(w, 0, chunk, here, valid & ~here, list, tags, &err), 0);
	free(data);
	free(tags);
}

static inline void file_records(struct snap_writer *w)
{
	struct err err = ERR_INIT;
	struct wbuf records;
	size_t at;

	wbuf_init(&records, 4096);
	at = record_begin(&records, RECORD_COMPAT, 1, RECORD_MUST, 0);
	record_end(&records, at);
	assert_int_equal(snap_writer_compat(w, &records, &err), 0);
	wbuf_release(&records);
	wbuf_init(&records, 4096);
	at = record_begin(&records, RECORD_END, 1, RECORD_MUST, 0);
	record_end(&records, at);
	assert_int_equal(snap_writer_state(w, &records, &err), 0);
	wbuf_release(&records);
}

/* A chain of that one file, which belongs to the chain. */
static inline void file_chain(struct snap_chain *chain, size_t page_size)
{
	struct snap_info info = {.page_size = (uint32_t)page_size, .tags = true, .nbanks = 1};
	struct err err = ERR_INIT;
	struct snap_writer *w;
	int fd = memfd_create("lazy.snap", MFD_CLOEXEC);

	assert_true(fd >= 0);
	info.bank[0] = (struct snap_bank){"ram", FILE_GPA, FILE_PAGES * page_size};
	info.uuid[0] = 1;
	assert_int_equal(snap_writer_open(fd, &info, SNAP_RAW, 3, &w, &err), 0);
	file_records(w);
	for (uint64_t chunk = 0; chunk <= FILE_PAGES / SNAP_CHUNK_PAGES; chunk++)
		file_chunk(w, chunk, page_size);
	assert_int_equal(snap_writer_finish(w, &info, &err), 0);
	snap_writer_close(w);
	memset(chain, 0, sizeof(*chain));
	assert_int_equal(snap_reader_open(fd, "lazy.snap", &chain->reader[0], &err), 0);
	chain->fd[0] = fd;
	chain->n = 1;
}

#endif
