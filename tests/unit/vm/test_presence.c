/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm/presence.h"

#define PAGES 700 /* more than one batch of anything */
#define WORDS ((PAGES + 63) / 64)

struct map {
	size_t page, size;
	uint8_t *p;
	int fd;
	struct presence presence;
	uint64_t want[WORDS];
};

static void map_new(struct map *m, int flags, enum presence_source source)
{
	struct err err = ERR_INIT;
	bool file = !(flags & MAP_ANONYMOUS);

	memset(m, 0, sizeof(*m));
	m->page = sysconf(_SC_PAGESIZE);
	m->size = PAGES * m->page;
	m->fd = -1;
	if (file) {
		m->fd = memfd_create("presence", MFD_CLOEXEC);
		assert_true(m->fd >= 0);
		/* Not from the file's start. */
		assert_int_equal(ftruncate(m->fd, m->size + 3 * m->page), 0);
	}
	m->p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, flags, m->fd, file ? 3 * m->page : 0);
	assert_ptr_not_equal(m->p, MAP_FAILED);
	madvise(m->p, m->size, MADV_NOHUGEPAGE);
	if (presence_init(&m->presence, source, m->p, m->size, m->fd, file ? 3 * m->page : 0, &err))
		fail_msg("%s", err.msg);
}

static void map_end(struct map *m)
{
	presence_release(&m->presence);
	munmap(m->p, m->size);
	if (m->fd >= 0)
		close(m->fd);
}

static void expect(struct map *m, size_t i)
{
	m->want[i / 64] |= 1ull << i % 64;
}

static void touch(struct map *m, size_t i)
{
	m->p[i * m->page + 17] = 1;
	expect(m, i);
}

/* Single pages, neighbours, the first and the last. */
static const size_t some[] = {0, 1, 5, 62, 63, 64, 65, 255, 256, 300, 301, 302, 511, 512, 698, 699};

static void check(struct map *m)
{
	uint64_t bits[WORDS + 1];

	for (unsigned int pass = 0; pass < 2; pass++) {
		memset(bits, 0xee, sizeof(bits));
		assert_int_equal(presence_get(&m->presence, 0, m->size, bits, NULL), 0);
		assert_memory_equal(bits, m->want, sizeof(m->want));
		assert_int_equal(bits[WORDS], 0xeeeeeeeeeeeeeeee);
	}
	/* In parts that begin and end anywhere. */
	for (size_t from = 0; from < PAGES; from += 61) {
		for (size_t n = 1; n <= PAGES - from; n += 97) {
			assert_int_equal(
				presence_get(&m->presence, from * m->page, n * m->page, bits, NULL),
				0);
			for (size_t i = 0; i < (n + 63) / 64 * 64; i++)
				assert_int_equal(
					bits[i / 64] >> i % 64 & 1,
					i < n && m->want[(from + i) / 64] >> (from + i) % 64 & 1);
		}
	}
}

/* By the ioctl where the kernel has it, and by reading the file. */
static void check_both(struct map *m)
{
	bool scan = m->presence.scan;

	check(m);
	m->presence.scan = false;
	check(m);
	m->presence.scan = scan;
}

static void anonymous(void **state)
{
	struct map m;

	(void)state;
	map_new(&m, MAP_PRIVATE | MAP_ANONYMOUS, PRESENCE_PAGEMAP);
	check_both(&m); /* nothing yet, and looking twice changes nothing */
	for (unsigned int i = 0; i < sizeof(some) / sizeof(*some); i++)
		touch(&m, some[i]);
	check_both(&m);
	for (size_t i = 0; i < PAGES; i++)
		touch(&m, i);
	check_both(&m);
	madvise(m.p + 100 * m.page, 200 * m.page, MADV_DONTNEED);
	for (size_t i = 100; i < 300; i++)
		m.want[i / 64] &= ~(1ull << i % 64);
	check_both(&m);
	map_end(&m);
}

/* More regions than one call of the ioctl returns. */
static void every_other_page(void **state)
{
	struct map m;

	(void)state;
	map_new(&m, MAP_PRIVATE | MAP_ANONYMOUS, PRESENCE_PAGEMAP);
	for (size_t i = 1; i < PAGES; i += 2)
		touch(&m, i);
	check_both(&m);
	map_end(&m);
}

static void zero_page(void **state)
{
	struct map m;

	(void)state;
	map_new(&m, MAP_PRIVATE | MAP_ANONYMOUS, PRESENCE_PAGEMAP);
	touch(&m, 7);
	assert_int_equal(*(volatile uint8_t *)(m.p + 9 * m.page), 0);
	if (!m.presence.scan) {
		map_end(&m);
		skip();
	}
	check(&m); /* a page that was only read is absent */
	m.presence.scan = false;
	expect(&m, 9);
	check(&m); /* which the page table alone does not tell */
	map_end(&m);
}

static void shared_file(void **state)
{
	uint8_t *other;
	struct map m;

	(void)state;
	map_new(&m, MAP_SHARED, PRESENCE_FILE);
	check(&m);
	for (unsigned int i = 0; i < sizeof(some) / sizeof(*some); i++)
		touch(&m, some[i]);
	/* Pages that only another mapping of the file wrote. */
	other = mmap(NULL, m.size, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd, 3 * m.page);
	assert_ptr_not_equal(other, MAP_FAILED);
	other[40 * m.page] = 1;
	expect(&m, 40);
	other[600 * m.page] = 1;
	expect(&m, 600);
	check(&m);
	/* Pages of the file in front of the mapping are none of its own. */
	assert_int_equal(pwrite(m.fd, "x", 1, 2 * m.page), 1);
	check(&m);
	assert_int_equal(fallocate(m.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (3 + 256) * m.page, m.page),
			 0);
	m.want[4] &= ~1ull;
	check(&m);
	munmap(other, m.size);
	map_end(&m);
}

static void private_file(void **state)
{
	struct map m;

	(void)state;
	map_new(&m, MAP_PRIVATE, PRESENCE_BOTH);
	check_both(&m);
	/* In the file, and copies that the file does not know. */
	assert_int_equal(pwrite(m.fd, "x", 1, (3 + 10) * m.page), 1);
	expect(&m, 10);
	touch(&m, 20);
	assert_int_equal(pwrite(m.fd, "x", 1, (3 + 30) * m.page), 1);
	touch(&m, 30);
	touch(&m, 699);
	check_both(&m);
	/* The copy stays when the file behind it is emptied. */
	assert_int_equal(fallocate(m.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, m.size), 0);
	m.want[0] &= ~(1ull << 10);
	check_both(&m);
	map_end(&m);
}

/* A page table made by hand: a page in swap counts, soft-dirty and file bits do not. */
static void made_up_entries(void **state)
{
	const uint64_t entry[] = {0, 1ull << 62, 1ull << 63, 1ull << 61, 1ull << 55, ~0ull >> 2};
	int fd = memfd_create("pagemap", MFD_CLOEXEC);
	uint64_t bits = 0;
	struct map m;

	(void)state;
	map_new(&m, MAP_PRIVATE | MAP_ANONYMOUS, PRESENCE_PAGEMAP);
	close(m.presence.pagemap);
	m.presence.pagemap = fd;
	m.presence.scan = false;
	assert_int_equal(pwrite(fd, entry, sizeof(entry), (uintptr_t)m.p / m.page * 8),
			 sizeof(entry));
	assert_int_equal(presence_get(&m.presence, 0, 6 * m.page, &bits, NULL), 0);
	assert_int_equal(bits, 6);
	/* It ends too early. */
	assert_int_equal(presence_get(&m.presence, 0, 7 * m.page, &bits, NULL), -EIO);
	map_end(&m);
}

static void errors(void **state)
{
	struct err err = ERR_INIT;
	struct presence p;
	uint64_t bits[WORDS];
	struct map m;
	int fds[2];

	(void)state;
	map_new(&m, MAP_PRIVATE | MAP_ANONYMOUS, PRESENCE_PAGEMAP);
	assert_int_equal(presence_get(&m.presence, 1, m.page, bits, &err), -EINVAL);
	assert_int_equal(presence_get(&m.presence, 0, m.page + 1, bits, &err), -EINVAL);
	assert_int_equal(presence_get(&m.presence, m.page, m.size, bits, &err), -EINVAL);
	assert_int_equal(presence_get(&m.presence, m.size + m.page, 0, bits, &err), -EINVAL);
	assert_int_equal(presence_get(&m.presence, -m.page, 2 * m.page, bits, &err), -EINVAL);
	assert_int_equal(presence_get(&m.presence, m.size, 0, bits, &err), 0);
	assert_int_equal(presence_init(&p, PRESENCE_PAGEMAP, m.p + 1, m.size, -1, 0, &err),
			 -EINVAL);
	assert_int_equal(presence_init(&p, PRESENCE_PAGEMAP, m.p, 0, -1, 0, &err), -EINVAL);
	assert_int_equal(presence_init(&p, PRESENCE_FILE, m.p, m.size, -1, 0, &err), -EBADF);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(presence_init(&p, PRESENCE_BOTH, m.p, m.size, fds[0], 0, &err), -ESPIPE);
	assert_true(err.msg[0]);
	close(fds[0]);
	close(fds[1]);
	map_end(&m);
}

static void runs_of_bits(void **state)
{
	const uint64_t bits[] = {0x8000000000000007, ~0ull, 0, 0xf0};
	const size_t want[][2] = {{0, 3}, {63, 128}, {196, 199}};
	size_t start, end = 0;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(presence_run(bits, 199, end, &start, &end));
		assert_int_equal(start, want[i][0]);
		assert_int_equal(end, want[i][1]);
	}
	assert_false(presence_run(bits, 199, end, &start, &end));
	assert_false(presence_run(bits, 0, 0, &start, &end));
	assert_false(presence_run(bits, 196, 128, &start, &end));
	assert_true(presence_run(bits, 197, 128, &start, &end));
	assert_int_equal(end, 197);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(anonymous),	cmocka_unit_test(every_other_page),
	cmocka_unit_test(zero_page),	cmocka_unit_test(shared_file),
	cmocka_unit_test(private_file), cmocka_unit_test(made_up_entries),
	cmocka_unit_test(errors),	cmocka_unit_test(runs_of_bits),
};

UNIT_MAIN(tests)
