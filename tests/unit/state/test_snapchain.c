/* SPDX-License-Identifier: GPL-2.0-only */
/* Chains of snapshot files in a folder: what a page is after several of them, and what is refused. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state/record.h"
#include "state/snapchain.h"

#define PAGE  4096u
#define PAGES 70u /* a chunk and a part */

struct folder {
	char path[64];
};

/* What file number @n says of a page: 'h' data of its own, 'a' absent, '.' as in the one before. */
struct layer {
	unsigned int n, parent; /* number of its uuid; parent 0: none */
	const char *says; /* of pages 0, 1 ...; all others are absent, or as before with a parent */
};

static void page_of(unsigned int n, unsigned int page, uint8_t *data, uint8_t *tags)
{
	memset(data, (int)(n * 16 + page), PAGE);
	memset(tags, (int)(n * 8 + page + 1), PAGE / 32);
}

static void write_chunk(struct snap_writer *w, const struct layer *l, uint64_t chunk)
{
	unsigned int pages = chunk ? PAGES - SNAP_CHUNK_PAGES : SNAP_CHUNK_PAGES, k = 0;
	uint8_t *data = malloc(SNAP_CHUNK_PAGES * PAGE),
		*tags = malloc(SNAP_CHUNK_PAGES * PAGE / 32);
	const void *list[SNAP_CHUNK_PAGES];
	uint64_t here = 0, absent = 0;
	struct err err = ERR_INIT;

	assert_true(data && tags);
	for (unsigned int i = 0; i < pages; i++) {
		size_t at = chunk * SNAP_CHUNK_PAGES + i;
		char what = at < strlen(l->says) ? l->says[at] : l->parent ? '.' : 'a';

		if (what == 'h') {
			page_of(l->n, (unsigned int)at, data + k * PAGE, tags + k * PAGE / 32);
			list[k] = data + k * PAGE;
			k++;
			here |= 1ull << i;
		} else if (what == 'a') {
			absent |= 1ull << i;
		}
	}
	if (here || (absent && l->parent))
		assert_int_equal(snap_writer_chunk(w, 0, chunk, here, absent, list, tags, &err), 0);
	free(data);
	free(tags);
}

static void write_layer(const struct folder *f, const char *name, const struct layer *l,
			uint64_t gpa)
{
	struct snap_info info = {.page_size = PAGE, .tags = true, .nbanks = 1};
	struct err err = ERR_INIT;
	struct snap_writer *w;
	struct wbuf records;
	char path[128];
	size_t at;
	int fd;

	info.bank[0] = (struct snap_bank){"ram", gpa, (uint64_t)PAGES * PAGE};
	info.uuid[0] = (uint8_t)l->n;
	info.parent[0] = (uint8_t)l->parent;
	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(snap_writer_open(fd, &info, SNAP_RAW, 3, &w, &err), 0);
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
	write_chunk(w, l, 0);
	write_chunk(w, l, 1);
	assert_int_equal(snap_writer_finish(w, &info, &err), 0);
	snap_writer_close(w);
	close(fd);
}

static int try_open(const struct folder *f, const char *name, struct snap_chain *chain,
		    struct err *err)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	return snap_chain_open(path, chain, err);
}

static int setup(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->path, sizeof(f->path), "%s", "/tmp/lkvm-chain.XXXXXX");
	assert_non_null(mkdtemp(f->path));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct folder *f = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* Page @page is that of file @n; 0: absent. */
static void expect(const struct snap_chain *chain, unsigned int page, unsigned int n)
{
	uint8_t *pages = calloc(SNAP_CHUNK_PAGES, PAGE),
		*tags = calloc(SNAP_CHUNK_PAGES, PAGE / 32);
	uint8_t data[PAGE], tag[PAGE / 32];
	unsigned int i = page % SNAP_CHUNK_PAGES;
	struct err err = ERR_INIT;
	uint64_t present;

	assert_true(pages && tags);
	assert_int_equal(
		snap_chain_chunk(chain, 0, page / SNAP_CHUNK_PAGES, pages, tags, &present, &err),
		0);
	assert_true(present == snap_chain_present(chain, 0, page / SNAP_CHUNK_PAGES));
	assert_int_equal(present >> i & 1, n != 0);
	if (n) {
		page_of(n, page, data, tag);
		assert_memory_equal(pages + i * PAGE, data, PAGE);
		assert_memory_equal(tags + i * PAGE / 32, tag, PAGE / 32);
	}
	free(pages);
	free(tags);
}

static void test_three(void **state)
{
	char link[160];
	struct folder *f = *state;
	struct err err = ERR_INIT;
	struct snap_chain chain;

	/* Names say nothing; a stranger's snapshot lies beside them. */
	write_layer(f, "z", &(struct layer){1, 0, "hhhaah"}, 0x80000000);
	write_layer(f, "a", &(struct layer){2, 1, ".ha.h."}, 0x80000000);
	write_layer(f, "m", &(struct layer){3, 2, ".h.ha."}, 0x80000000);
	write_layer(f, "b", &(struct layer){9, 0, "hhhhhh"}, 0x80000000);
	snprintf(link, sizeof(link), "%s/c", f->path);
	assert_int_equal(try_open(f, "m", &chain, &err), 0);
	assert_int_equal(chain.n, 3);
	assert_int_equal(snap_chain_info(&chain)->uuid[0], 3);
	expect(&chain, 0, 1); /* from the first, unchanged twice */
	expect(&chain, 1, 3); /* new in each */
	expect(&chain, 2, 0); /* became absent in the second */
	expect(&chain, 3, 3); /* was absent, came in the third */
	expect(&chain, 4, 0); /* came in the second, went in the third */
	expect(&chain, 5, 1);
	expect(&chain, 6, 0);
	expect(&chain, 69, 0);
	snap_chain_close(&chain);
	/* The second alone with the first. */
	assert_int_equal(try_open(f, "a", &chain, &err), 0);
	assert_int_equal(chain.n, 2);
	expect(&chain, 1, 2);
	expect(&chain, 4, 2);
	snap_chain_close(&chain);
}

static void test_missing(void **state)
{
	struct folder *f = *state;
	struct err err = ERR_INIT;
	struct snap_chain chain;

	write_layer(f, "child", &(struct layer){2, 1, "h"}, 0x80000000);
	assert_int_equal(try_open(f, "child", &chain, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "child"));
	assert_non_null(strstr(err.msg, "uuid 01000000"));
	err = (struct err)ERR_INIT;
	assert_int_equal(try_open(f, "nobody", &chain, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "nobody"));
	err = (struct err)ERR_INIT;
	assert_int_equal(try_open(f, ".", &chain, &err), -EINVAL);
}

/* Changes one byte of a file. */
static void spoil(const struct folder *f, const char *name, off_t at)
{
	char path[128];
	uint8_t byte;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x40;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* What is wrong with the one that is needed is told, unless there is a good one; what is wrong with others, never. */
static void test_damaged_parent(void **state)
{
	struct folder *f = *state;
	struct err err = ERR_INIT;
	struct snap_chain chain;

	write_layer(f, "child", &(struct layer){2, 1, "h"}, 0x80000000);
	write_layer(f, "base", &(struct layer){1, 0, "h"}, 0x80000000);
	write_layer(f, "other", &(struct layer){9, 0, "h"}, 0x80000000);
	spoil(f, "base", 100);
	spoil(f, "other", 100);
	assert_int_equal(try_open(f, "child", &chain, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "child"));
	assert_non_null(strstr(err.msg, "base: header at offset 0: the checksum"));
	assert_null(strstr(err.msg, "other"));
	write_layer(f, "copy", &(struct layer){1, 0, "h"}, 0x80000000);
	assert_int_equal(try_open(f, "child", &chain, &err), 0);
	assert_int_equal(chain.n, 2);
	snap_chain_close(&chain);
}

static void test_circle(void **state)
{
	struct folder *f = *state;
	struct err err = ERR_INIT;
	struct snap_chain chain;

	write_layer(f, "one", &(struct layer){1, 2, "h"}, 0x80000000);
	write_layer(f, "two", &(struct layer){2, 1, "h"}, 0x80000000);
	assert_int_equal(try_open(f, "one", &chain, &err), -ELOOP);
}

static void test_other_machine(void **state)
{
	struct folder *f = *state;
	struct err err = ERR_INIT;
	struct snap_chain chain;

	write_layer(f, "base", &(struct layer){1, 0, "h"}, 0x40000000);
	write_layer(f, "child", &(struct layer){2, 1, "h"}, 0x80000000);
	assert_int_equal(try_open(f, "child", &chain, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "another machine"));
}

/* A new file must find what it builds on: beside it, and not in its own place. */
static void test_child(void **state)
{
	struct folder *f = *state;
	struct err err = ERR_INIT;
	struct snap_chain chain;
	char base[128], other[128], to[128], link_name[128];

	write_layer(f, "one", &(struct layer){1, 0, "h"}, 0x80000000);
	write_layer(f, "two", &(struct layer){2, 1, "h"}, 0x80000000);
	write_layer(f, "stranger", &(struct layer){9, 0, "h"}, 0x80000000);
	snprintf(base, sizeof(base), "%s/two", f->path);
	assert_int_equal(try_open(f, "two", &chain, &err), 0);
	snprintf(to, sizeof(to), "%s/new", f->path);
	assert_int_equal(snap_chain_check_child(&chain, base, to, &err), 0);
	snprintf(to, sizeof(to), "%s/stranger", f->path);
	assert_int_equal(snap_chain_check_child(&chain, base, to, &err), 0);

	assert_int_equal(snap_chain_place(&chain, base), 0);
	assert_int_equal(snap_chain_check_child(&chain, base, base, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "another name"));
	assert_int_equal(snap_chain_place(&chain, to), -1);
	snprintf(to, sizeof(to), "%s/./one", f->path);
	assert_int_equal(snap_chain_place(&chain, to), 1);
	assert_int_equal(snap_chain_check_child(&chain, base, to, &err), -EINVAL);
	snprintf(link_name, sizeof(link_name), "%s/link", f->path);
	assert_int_equal(symlink("one", link_name), 0);
	assert_int_equal(snap_chain_check_child(&chain, base, link_name, &err), -EINVAL);

	snprintf(other, sizeof(other), "%s/folder", f->path);
	assert_int_equal(mkdir(other, 0700), 0);
	snprintf(to, sizeof(to), "%s/folder/new", f->path);
	assert_int_equal(snap_chain_check_child(&chain, base, to, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "same folder"));
	snprintf(to, sizeof(to), "%s/nowhere/new", f->path);
	assert_int_equal(snap_chain_check_child(&chain, base, to, &err), -ENOENT);
	/* A name that nobody would look at when the new file is opened; a chain that would be too long. */
	snprintf(to, sizeof(to), "%s/new", f->path);
	snprintf(other, sizeof(other), "%s/.two", f->path);
	assert_int_equal(snap_chain_check_child(&chain, other, to, &err), -EINVAL);
	assert_int_equal(
		snap_chain_check_child(&(struct snap_chain){.n = SNAP_CHAIN_MAX}, base, to, &err),
		-EINVAL);
	snap_chain_close(&chain);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(test_three, setup, teardown),
	cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
	cmocka_unit_test_setup_teardown(test_damaged_parent, setup, teardown),
	cmocka_unit_test_setup_teardown(test_circle, setup, teardown),
	cmocka_unit_test_setup_teardown(test_other_machine, setup, teardown),
	cmocka_unit_test_setup_teardown(test_child, setup, teardown),
};

UNIT_MAIN(tests)
