/* SPDX-License-Identifier: GPL-2.0-only */
/* Tags collected beforehand: what is asked for later is what was there, of pages that are there, and nothing is populated. */
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "migrate/tag-copy.h"
#include "vm/presence.h"

#define PAGES 5000 /* more than one step */
#define GPA   0x80000000ull

static struct mem mem;
static size_t page;
static unsigned int asked; /* pages that the sidecar was asked for */
static int fail_with;

void *gpa_ptr(struct mem *m, uint64_t gpa, uint64_t len, enum mem_access access)
{
	assert_int_equal(access, MEM_READ);
	for (unsigned int i = 0; i < m->n; i++)
		if (gpa >= m->banks[i].spec.gpa &&
		    gpa - m->banks[i].spec.gpa + len <= m->banks[i].spec.size)
			return m->banks[i].host + (gpa - m->banks[i].spec.gpa);
	return NULL;
}

int mem_presence(const struct mem *m, const struct mem_bank *bank, struct presence *presence,
		 struct err *err)
{
	(void)m;
	return presence_init(presence, PRESENCE_PAGEMAP, bank->host, bank->spec.size, -1, 0, err);
}

/* A page's "tags" are its first byte, over and over: they change when the page does. */
static int fake_get(void *ctx, uint8_t *host, uint64_t gpa, uint64_t len, uint8_t *out,
		    struct err *err)
{
	assert_ptr_equal(ctx, &mem);
	if (fail_with)
		return err_set(err, fail_with, "no tags at 0x%llx", (unsigned long long)gpa);
	for (uint64_t off = 0; off < len; off += page, asked++)
		memset(out + off / 32, host[off], page / 32);
	return 0;
}

static const struct mem_sidecar fake = {.get = fake_get, .ctx = &mem};

static int setup(void **state)
{
	(void)state;
	page = sysconf(_SC_PAGESIZE);
	memset(&mem, 0, sizeof(mem));
	mem.page_size = page;
	mem.sidecar = &fake;
	mem.n = 2;
	for (unsigned int i = 0; i < 2; i++) {
		struct mem_bank *bank = &mem.banks[i];

		bank->spec = (struct mem_spec){.name = i ? "flash" : "ram",
					       .gpa = i ? 0x2000000 : GPA,
					       .size = (i ? 3 : PAGES) * page};
		bank->host = mmap(NULL, bank->spec.size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		assert_true(bank->host != MAP_FAILED);
		assert_int_equal(madvise(bank->host, bank->spec.size, MADV_NOHUGEPAGE), 0);
	}
	asked = 0;
	fail_with = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++)
		munmap(mem.banks[i].host, mem.banks[i].spec.size);
	return 0;
}

static uint8_t tag_at(const struct tag_copy *copy, uint64_t gpa)
{
	uint8_t out[65536 / 32] = {0};

	assert_int_equal(copy->sidecar.get(copy->sidecar.ctx, NULL, gpa, page, out, NULL), 0);
	for (size_t i = 1; i < page / 32; i++)
		assert_int_equal(out[i], out[0]);
	return out[0];
}

static void as_they_were(void **state)
{
	static const unsigned int touched[] = {0, 1, 63, 64, 4095, 4096, PAGES - 1};
	struct tag_copy copy;
	unsigned int n = sizeof(touched) / sizeof(touched[0]);

	(void)state;
	for (unsigned int i = 0; i < n; i++)
		mem.banks[0].host[touched[i] * page] = (uint8_t)(0x11 * (i + 1));
	mem.banks[1].host[2 * page] = 0xee;
	assert_int_equal(tag_copy_init(&copy, &mem, NULL), 0);
	assert_int_equal(asked, n + 1);
	memset(mem.banks[0].host, 0, page); /* afterwards nothing counts */
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(tag_at(&copy, GPA + touched[i] * page), 0x11 * (i + 1));
	assert_int_equal(tag_at(&copy, GPA + 2 * page), 0);
	assert_int_equal(tag_at(&copy, 0x2000000 + 2 * page), 0xee);
	tag_copy_release(&copy);
}

static void what_it_refuses(void **state)
{
	struct err err = ERR_INIT;
	struct tag_copy copy;
	uint8_t tags[2048] = {0};

	(void)state;
	mem.banks[0].host[0] = 1;
	assert_int_equal(tag_copy_init(&copy, &mem, NULL), 0);
	assert_int_equal(copy.sidecar.get(&copy, NULL, 0x1000, page, tags, &err), -EFAULT);
	assert_int_equal(copy.sidecar.put(&copy, NULL, GPA, page, tags, &err), -EOPNOTSUPP);
	tag_copy_release(&copy);
	tag_copy_release(&copy); /* twice does no harm */
	fail_with = -EIO;
	assert_int_equal(tag_copy_init(&copy, &mem, &err), -EIO);
	assert_string_equal(err.msg, "no tags at 0x80000000");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(as_they_were, setup, teardown),
	cmocka_unit_test_setup_teardown(what_it_refuses, setup, teardown),
};

UNIT_MAIN(tests)
