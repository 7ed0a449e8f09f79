/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory to a snapshot file, with tags that are a fake sidecar: what differs from the parent, and parents that are none. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lazy_file.h"
#include "migrate/ram.h"

struct machine {
	struct mem mem;
	struct mem_sidecar sidecar;
	uint8_t *tags;
};

static int get(void *ctx, uint8_t *host, uint64_t gpa, uint64_t len, uint8_t *out, struct err *err)
{
	const struct machine *m = ctx;

	(void)host, (void)err;
	memcpy(out, m->tags + (gpa - FILE_GPA) / 32, len / 32);
	return 0;
}

static int put(void *ctx, uint8_t *host, uint64_t gpa, uint64_t len, const uint8_t *in,
	       struct err *err)
{
	struct machine *m = ctx;

	(void)host, (void)err;
	memcpy(m->tags + (gpa - FILE_GPA) / 32, in, len / 32);
	return 0;
}

static void open_machine(struct machine *m, bool tagged)
{
	struct err err = ERR_INIT;
	struct mem_bank *bank = &m->mem.banks[0];

	assert_int_equal(mem_init(&m->mem, &err), 0);
	bank->spec = (struct mem_spec){
		.name = "ram", .gpa = FILE_GPA, .size = FILE_PAGES * m->mem.page_size};
	bank->host = mmap(NULL, bank->spec.size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(bank->host, MAP_FAILED);
	madvise(bank->host, bank->spec.size, MADV_NOHUGEPAGE);
	bank->fd = -1;
	m->mem.n = 1;
	m->tags = calloc(FILE_PAGES, m->mem.page_size / 32);
	assert_non_null(m->tags);
	m->sidecar = (struct mem_sidecar){get, put, m};
	m->mem.sidecar = tagged ? &m->sidecar : NULL;
}

static void close_machine(struct machine *m)
{
	mem_release(&m->mem);
	free(m->tags);
}

static uint8_t *page_at(struct machine *m, unsigned int page)
{
	return m->mem.banks[0].host + page * m->mem.page_size;
}

static uint8_t *tags_at(struct machine *m, unsigned int page)
{
	return m->tags + page * (m->mem.page_size / 32);
}

/* @save: but for memory and writer. On success @chain gets one more file in front. */
static int save_to(struct machine *m, struct ram_save *save, struct snap_chain *chain,
		   struct err *err)
{
	struct snap_info info = {.tags = m->mem.sidecar != NULL};
	int fd = memfd_create("save.snap", MFD_CLOEXEC), rc;

	assert_true(fd >= 0);
	ram_describe(&m->mem, &info);
	info.uuid[0] = 2;
	if (save->parent)
		memcpy(info.parent, snap_chain_info(save->parent)->uuid, sizeof(info.parent));
	assert_int_equal(snap_writer_open(fd, &info, SNAP_RAW, 3, &save->writer, err), 0);
	file_records(save->writer);
	save->mem = &m->mem;
	rc = ram_save(save, err);
	if (!rc)
		assert_int_equal(snap_writer_finish(save->writer, NULL, err), 0);
	snap_writer_close(save->writer);
	if (rc) {
		close(fd);
		return rc;
	}
	for (unsigned int i = chain->n; i; i--) {
		chain->reader[i] = chain->reader[i - 1];
		chain->fd[i] = chain->fd[i - 1];
	}
	assert_int_equal(snap_reader_open(fd, "save.snap", &chain->reader[0], err), 0);
	chain->fd[0] = fd;
	chain->n++;
	return 0;
}

/* What changed, by data or by tag alone, or became zero, is saved, nothing else; and comes back. */
static void test_against_parent(void **state)
{
	struct machine a = {0}, b = {0};
	struct ram_save save = {.threads = 1};
	struct err err = ERR_INIT;
	struct snap_chain chain;
	uint64_t here, absent;
	size_t page;

	(void)state;
	open_machine(&a, true);
	open_machine(&b, true);
	page = a.mem.page_size;
	file_chain(&chain, page);
	assert_int_equal(ram_load(&a.mem, &chain, 1, &err), 0);
	assert_int_equal(page_at(&a, 1)[0], file_byte(1));
	assert_int_equal(tags_at(&a, 1)[0], file_tag(1));

	page_at(&a, 1)[77] ^= 1;
	tags_at(&a, 2)[3] ^= 0x10;
	memset(page_at(&a, 5), 0, page); /* keeps its tags */
	memset(page_at(&a, 130), 0, page);
	memset(tags_at(&a, 130), 0, page / 32);
	page_at(&a, 200)[0] = 1; /* was absent */
	save.parent = &chain;
	assert_int_equal(save_to(&a, &save, &chain, &err), 0);
	snap_reader_look(chain.reader[0], 0, 0, &here, &absent);
	assert_int_equal(here, 1 << 1 | 1 << 2 | 1 << 5);
	assert_int_equal(absent, 0);
	snap_reader_look(chain.reader[0], 0, 2, &here, &absent);
	assert_int_equal(here, 0);
	assert_int_equal(absent, 1 << 2);
	snap_reader_look(chain.reader[0], 0, 5, &here, &absent);
	assert_int_equal(here | absent, 0);

	assert_int_equal(ram_load(&b.mem, &chain, 2, &err), 0);
	assert_memory_equal(b.mem.banks[0].host, a.mem.banks[0].host, FILE_PAGES * page);
	assert_memory_equal(b.tags, a.tags, FILE_PAGES * page / 32);
	snap_chain_close(&chain);
	close_machine(&a);
	close_machine(&b);
}

/* Of larger pages, buffers would be overrun; of none with tags, nothing could be compared. */
static void test_foreign_parent(void **state)
{
	struct ram_save save = {.threads = 1};
	struct machine m = {0};
	struct snap_chain chain;
	struct err err = ERR_INIT;

	(void)state;
	open_machine(&m, true);
	memset(page_at(&m, 1), 1, m.mem.page_size);
	file_chain(&chain, 65536);
	save.parent = &chain;
	assert_int_equal(save_to(&m, &save, &chain, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "other memory"));
	snap_chain_close(&chain);

	file_chain(&chain, m.mem.page_size);
	m.mem.sidecar = NULL;
	assert_int_equal(save_to(&m, &save, &chain, &err), -EINVAL);
	m.mem.sidecar = &m.sidecar;
	m.mem.banks[0].spec.gpa += m.mem.page_size;
	assert_int_equal(save_to(&m, &save, &chain, &err), -EINVAL);
	snap_chain_close(&chain);
	close_machine(&m);
}

static int third_time(void *ctx, uint64_t done, uint64_t total)
{
	assert_true(done <= total);
	return ++*(unsigned int *)ctx == 3 ? -ECANCELED : 0;
}

/* Three days for the first chunk: whoever waits for the limit is asked again all the same. */
static void test_slow_and_cancelled(void **state)
{
	unsigned int asked = 0;
	struct ram_save save = {.threads = 1, .rate = 1, .progress = third_time, .ctx = &asked};
	struct snap_chain chain = {.n = 0};
	struct err err = ERR_INIT;
	struct machine m = {0};

	(void)state;
	open_machine(&m, true);
	alarm(60);
	assert_int_equal(save_to(&m, &save, &chain, &err), -ECANCELED);
	alarm(0);
	assert_int_equal(asked, 3);
	close_machine(&m);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_against_parent),
	cmocka_unit_test(test_foreign_parent),
	cmocka_unit_test(test_slow_and_cancelled),
};

UNIT_MAIN(tests)
