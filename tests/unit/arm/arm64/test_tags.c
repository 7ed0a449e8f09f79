/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tag walkers by instruction, against a model that reads and writes one tag at a time. Runs under user-mode QEMU
 * and on any arm64 Linux; what needs KVM is in tests/system/tagwalk.c.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../../tagpattern.h"
#include "../../../tap.h"
#include "arm/mte-insn.h"
#include "arm/tags-ways.h"
#include "arm/tags.h"
#include "util/share.h"

#ifndef PROT_MTE
#define PROT_MTE 0x20
#endif
#ifndef HWCAP2_MTE
#define HWCAP2_MTE (1 << 18)
#endif

#define PAGES 6 /* of an arena: the first and the last are there to stay as they are */

struct arena {
	struct tap tap;
	struct tag_walker w;
	uint64_t seed;
	size_t page, size;
	uint8_t *mem;
	struct tag_area area;	      /* all of it */
	uint8_t *data, *tags;	      /* what there should be; tags packed */
	uint8_t *packed, *got, *want; /* room for as much */
};

static void *map_tagged(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_MTE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap with PROT_MTE");
		exit(1);
	}
	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

/* The model: one LDG, one STG at a time. */
static void plain_read(const uint8_t *p, size_t len, uint8_t *packed)
{
	for (size_t i = 0; i < len / MTE_GRANULE; i += 2)
		packed[i / 2] = mte_load_tag(p + i * MTE_GRANULE) |
				mte_load_tag(p + (i + 1) * MTE_GRANULE) << 4;
}

static void plain_write(uint8_t *p, size_t len, const uint8_t *packed)
{
	for (size_t i = 0; i < len / MTE_GRANULE; i++)
		mte_store_tag(p + i * MTE_GRANULE, packed[i / 2] >> (i & 1) * 4);
}

/* New data and tags throughout, by the model. */
static void renew(struct arena *a)
{
	for (size_t i = 0; i < a->size; i += 8) {
		uint64_t v = pattern_random(&a->seed);

		memcpy(a->data + i, &v, 8);
	}
	memcpy(a->mem, a->data, a->size);
	pattern_make(PATTERN_RANDOM, a->size, &a->seed, a->tags);
	plain_write(a->mem, a->size, a->tags);
}

/* Data and tags are what they should be, all over the arena. */
static bool as_expected(struct arena *a, const char *what)
{
	plain_read(a->mem, a->size, a->got);
	if (memcmp(a->got, a->tags, tagcode_packed_size(a->size))) {
		tap_note(&a->tap, "%s: wrong tags", what);
		return false;
	}
	if (memcmp(a->mem, a->data, a->size)) {
		tap_note(&a->tap, "%s: wrong data", what);
		return false;
	}
	return true;
}

static void tags_hold(struct arena *a)
{
	uint8_t *p = map_tagged(a->w.page);
	unsigned int wrong = 0;

	for (size_t i = 0; i < a->w.page / MTE_GRANULE; i++)
		mte_store_tag(p + i * MTE_GRANULE, i & 15);
	for (size_t i = 0; i < a->w.page / MTE_GRANULE; i++)
		wrong += mte_load_tag(p + i * MTE_GRANULE) != (i & 15);
	munmap(p, a->w.page);
	tap_ok(&a->tap, !wrong, "each granule holds its own tag (%u do not)", wrong);
}

/* Every pattern over every range of whole pages that leaves the first and the last page out. */
static void round_trips(struct arena *a)
{
	for (enum pattern pat = 0; pat < PATTERNS; pat++) {
		bool reads = true, writes = true;

		for (size_t from = 1; from < PAGES - 1; from++) {
			for (size_t to = from; to < PAGES; to++) {
				size_t off = from * a->page, len = (to - from) * a->page;
				size_t bytes = tagcode_packed_size(len);

				renew(a);
				pattern_make(pat, len, &a->seed, a->packed);
				plain_write(a->mem + off, len, a->packed);
				memset(a->got, 0xee, bytes + 1);
				if (tags_read(&a->w, &a->area, off, len, a->got, NULL) ||
				    memcmp(a->got, a->packed, bytes) || a->got[bytes] != 0xee)
					reads = false;

				renew(a);
				if (tags_write(&a->w, &a->area, off, len, a->packed, NULL))
					writes = false;
				memcpy(a->tags + tagcode_packed_size(off), a->packed, bytes);
				writes &= as_expected(a, pattern_name(pat));
			}
		}
		tap_ok(&a->tap, reads, "%zu: %s tags are read as the model reads them", a->page,
		       pattern_name(pat));
		tap_ok(&a->tap, writes, "%zu: %s tags are written; data and neighbours stay",
		       a->page, pattern_name(pat));
	}
}

/*
 * DC GVA's block as it is, none, and smaller than it is: then some blocks are set more than once, and the loop for
 * small ones has its turn on a machine with large ones.
 */
static void fills(struct arena *a)
{
	size_t host = a->w.dc_block;
	const size_t blocks[] = {host, 0, host > 64 ? 64 : host, host / 2};
	size_t off = a->page, len = (PAGES - 2) * a->page;

	for (unsigned int b = 0; b < 4; b++) {
		bool filled = true, cleared = true;

		a->w.dc_block = blocks[b];
		for (unsigned int tag = 0; tag < 16; tag++) {
			renew(a);
			filled &= !tags_fill(&a->w, &a->area, off, len, tag, NULL);
			memset(a->tags + tagcode_packed_size(off), tag * 0x11,
			       tagcode_packed_size(len));
			filled &= !tags_fill(&a->w, &a->area, 0, 0, tag ^ 1, NULL);
			filled &= as_expected(a, "fill");

			renew(a);
			cleared &= !tags_clear(&a->w, &a->area, off, len, tag, NULL);
			memset(a->tags + tagcode_packed_size(off), tag * 0x11,
			       tagcode_packed_size(len));
			memset(a->data + off, 0, len);
			cleared &= !tags_clear(&a->w, &a->area, 0, 0, tag ^ 1, NULL);
			cleared &= as_expected(a, "clear");
		}
		tap_ok(&a->tap, filled, "%zu: fill with each tag, block %zu", a->page, blocks[b]);
		tap_ok(&a->tap, cleared, "%zu: clear with each tag, block %zu: data is zero too",
		       a->page, blocks[b]);
	}
	a->w.dc_block = host;
}

/* DCZID_EL0 as machines have it, and as none should. */
static void dc_blocks(struct arena *a)
{
	const struct {
		uint64_t dczid;
		size_t block;
	} ids[] = {{4, 64}, {7, 512}, {9, 2048}, {2, 16}, {10, 4096}, {11, 0},
		   {15, 0}, {1, 0},   {0, 0},	 {16, 0}, {20, 0},    {0x24, 64}};
	bool ok = true;

	for (unsigned int i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		ok &= mte_dc_block(ids[i].dczid, 4096) == ids[i].block;
	tap_note(&a->tap, "DC GVA works on %zu bytes", a->w.dc_block);
	tap_ok(&a->tap, ok, "DCZID_EL0 is understood: not allowed, too small, larger than a page");
}

/* Runs that start and end at any granule: each width of store has its turn. */
static void odd_runs(struct arena *a)
{
	struct tag_shape *shape = calloc(1, sizeof(*shape));
	bool ok = true;

	for (unsigned int i = 0; i < 300; i++) {
		size_t at = 0, granules = a->page / MTE_GRANULE, most = 1 << i % 10;
		size_t base = granules * (1 + i % (PAGES - 2));

		if (i % 50 == 0)
			renew(a);
		for (shape->runs = 0; at < granules; shape->runs++) {
			struct tag_run *run = &shape->run[shape->runs];

			run->granules = 1 + pattern_random(&a->seed) % most;
			if (run->granules > granules - at || shape->runs == TAGCODE_RUNS_MAX - 1)
				run->granules = granules - at;
			run->tag = pattern_random(&a->seed) & 15;
			for (size_t end = at + run->granules; at < end; at++)
				pattern_set(a->tags, base + at, run->tag);
		}
		ldg_write_runs(a->mem + base * MTE_GRANULE, shape, i & 1 ? a->w.dc_block : 0);
		ok &= as_expected(a, "runs");
	}
	tap_ok(&a->tap, ok, "%zu: runs of any length at any granule are written, nothing else",
	       a->page);
	free(shape);
}

/* Collected, classified, put into another page: the same tags. */
static void shapes(struct arena *a)
{
	struct tag_shape *shape = malloc(sizeof(*shape));
	unsigned int seen[3] = {0};
	bool ok = true;

	for (unsigned int i = 0; i < 40 * PATTERNS; i++) {
		size_t src = a->page, dst = (2 + i % 3) * a->page;
		size_t bytes = tagcode_packed_size(a->page);

		if (i % 16 == 0)
			renew(a);
		pattern_make(i % PATTERNS, a->page, &a->seed, a->packed);
		plain_write(a->mem + src, a->page, a->packed);
		memcpy(a->tags + tagcode_packed_size(src), a->packed, bytes);
		ok &= !tags_read(&a->w, &a->area, src, a->page, a->want, NULL);
		tagcode_classify(a->want, a->page, shape);
		seen[shape->class]++;
		ok &= !tags_put(&a->w, &a->area, dst, shape,
				shape->class == TAGS_PACKED ? a->want : NULL, NULL);
		memcpy(a->tags + tagcode_packed_size(dst), a->packed, bytes);
		ok &= as_expected(a, "put");
	}
	tap_ok(&a->tap, ok && seen[0] && seen[1] && seen[2],
	       "%zu: pages of each class are put as they were (%u uniform, %u runs, %u packed)",
	       a->page, seen[0], seen[1], seen[2]);
	free(shape);
}

static void data_leaves_tags(struct arena *a)
{
	renew(a);
	for (size_t i = 0; i < a->size; i++)
		a->data[i] = ~a->data[i];
	memcpy(a->mem, a->data, a->size);
	tap_ok(&a->tap, as_expected(a, "data"), "%zu: writing data leaves tags alone", a->page);
}

static void bad_ranges(struct arena *a)
{
	const uint64_t ranges[][2] = {
		{1, a->page},		{0, a->page + 16},  {a->size, a->page},
		{a->size + a->page, 0}, {a->page, a->size}, {-(uint64_t)a->page, 2 * a->page},
	};
	struct tag_shape shape = {.class = TAGS_RUNS, .runs = 2};
	bool refused = true;

	shape.run[0].granules = shape.run[1].granules = a->page / 32;
	renew(a);
	for (unsigned int i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
		uint64_t off = ranges[i][0], len = ranges[i][1];
		struct err err = ERR_INIT;

		refused &= tags_read(&a->w, &a->area, off, len, a->got, &err) == -EINVAL;
		refused &= tags_write(&a->w, &a->area, off, len, a->packed, NULL) == -EINVAL;
		refused &= tags_fill(&a->w, &a->area, off, len, 1, NULL) == -EINVAL;
		refused &= tags_clear(&a->w, &a->area, off, len, 1, NULL) == -EINVAL;
		refused &= err.msg[0] != '\0';
	}
	refused &= tags_put(&a->w, &a->area, a->size, &shape, NULL, NULL) == -EINVAL;
	refused &= tags_put(&a->w, &a->area, 16, &shape, NULL, NULL) == -EINVAL;
	tap_ok(&a->tap, refused && as_expected(a, "bad ranges"),
	       "%zu: ranges that are not whole pages of the area are refused, nothing is written",
	       a->page);
}

/* Pages that hold something, one bit each, as the presence source says. */
static bool present_are(struct arena *a, const struct presence *p, const uint64_t *want)
{
	uint64_t bits[4];

	if (presence_get(p, 0, p->size, bits, NULL))
		return false;
	if (!memcmp(bits, want, presence_words(p, p->size) * 8))
		return true;
	tap_note(&a->tap, "present: 0x%016llx 0x%016llx ..., expected 0x%016llx 0x%016llx",
		 (unsigned long long)bits[0], (unsigned long long)bits[1],
		 (unsigned long long)want[0], (unsigned long long)want[1]);
	return false;
}

/* User-mode QEMU keeps tags apart: there neither a tag store nor LDG touches the memory. */
static bool tags_touch_memory(struct arena *a)
{
	uint8_t *p = map_tagged(a->page);
	struct presence look;
	uint64_t bit = 0;

	mte_store_tag(p, 1);
	if (!presence_init(&look, PRESENCE_PAGEMAP, p, a->page, -1, 0, NULL)) {
		presence_get(&look, 0, a->page, &bit, NULL);
		presence_release(&look);
	}
	munmap(p, a->page);
	return bit;
}

#define SPARSE_PAGES 200

struct sparse {
	struct tag_area area;
	struct presence present;
	uint64_t bits[4]; /* the pages that are present */
	uint8_t *want, *got;
};

static void write_absent(struct arena *a, struct sparse *s, bool touch)
{
	size_t bytes = tagcode_packed_size(s->area.size);
	bool ok;

	/* A tag in one page that was absent, and zero tags in one that is not. */
	memset(s->want + tagcode_packed_size(3 * a->page), 0, tagcode_packed_size(a->page));
	s->want[tagcode_packed_size(5 * a->page) - 1] = 0x70;
	ok = !tags_write_area(&a->w, &s->area, &s->present, 2, s->want, NULL);
	s->bits[0] |= 1 << 4;
	if (touch)
		tap_ok(&a->tap, present_are(a, &s->present, s->bits),
		       "writing an area populates only what is to have tags");
	plain_read(s->area.base, s->area.size, s->got);
	ok &= !memcmp(s->got, s->want, bytes);
	tap_ok(&a->tap, ok, "an area of which most is absent is written");
	memset(s->got, 0xee, bytes);
	ok = !tags_read_area(&a->w, &s->area, NULL, 2, s->got, NULL) &&
	     !memcmp(s->got, s->want, bytes);
	tap_ok(&a->tap, ok, "without a presence source all is read");
}

static void absent_stays(struct arena *a)
{
	size_t size = SPARSE_PAGES * a->page, bytes = tagcode_packed_size(size);
	bool ok, touch = tags_touch_memory(a);
	struct sparse s = {0};

	s.area = (struct tag_area){.base = map_tagged(size), .size = size};
	s.want = calloc(1, bytes);
	s.got = malloc(bytes);
	if (presence_init(&s.present, PRESENCE_PAGEMAP, s.area.base, size, -1, 0, NULL)) {
		tap_skip(&a->tap, "absent pages", "/proc/self/pagemap cannot be read");
		return;
	}
	for (size_t i = 3; i < SPARSE_PAGES; i += i < 100 ? 7 : 1 + i % 3) {
		uint8_t *p = s.area.base + i * a->page;

		mte_store_tag(p + 32, 1 + i % 15);
		if (!touch)
			p[0] = 1;
		s.want[tagcode_packed_size(i * a->page) + 1] = 1 + i % 15;
		s.bits[i / 64] |= 1ull << i % 64;
	}
	ok = present_are(a, &s.present, s.bits);
	for (unsigned int threads = 1; threads <= 4; threads++) {
		memset(s.got, 0xee, bytes);
		ok &= !tags_read_area(&a->w, &s.area, &s.present, threads, s.got, NULL);
		ok &= !memcmp(s.got, s.want, bytes);
	}
	tap_ok(&a->tap, ok, "an area of which most is absent is read; absent tags are zero");
	if (touch)
		tap_ok(&a->tap, present_are(a, &s.present, s.bits),
		       "reading an area populates no absent page");
	else
		tap_skip(&a->tap, "absent pages stay absent",
			 "in user-mode QEMU tags touch no memory; the bed runs this program too");
	write_absent(a, &s, touch);
	s.area.size -= a->page;
	tap_ok(&a->tap, tags_read_area(&a->w, &s.area, &s.present, 1, s.got, NULL) == -EINVAL,
	       "a presence source of other memory is refused");
	presence_release(&s.present);
	munmap(s.area.base, size);
	free(s.want);
	free(s.got);
}

static void threads_agree(struct arena *a)
{
	size_t size = (9 << 20) + 3 * 65536, bytes = tagcode_packed_size(size);
	struct tag_area area = {.base = map_tagged(size), .size = size};
	uint8_t *want = malloc(bytes), *got = malloc(bytes);
	bool ok = true;

	for (unsigned int threads = 1; threads <= 5; threads++) {
		pattern_make(threads % PATTERNS, size, &a->seed, want);
		ok &= !tags_write_area(&a->w, &area, NULL, threads, want, NULL);
		plain_read(area.base, size, got);
		ok &= !memcmp(got, want, bytes);
		memset(got, 0xee, bytes);
		ok &= !tags_read_area(&a->w, &area, NULL, threads, got, NULL);
		ok &= !memcmp(got, want, bytes);
	}
	tap_ok(&a->tap, ok, "1 to 5 threads write and read a region of %zu KiB alike", size >> 10);
	munmap(area.base, size);
	free(want);
	free(got);
}

struct counted {
	atomic_uint piece[64], enters, leaves, fail_at;
	bool fail_enter;
};

static int count_piece(void *ctx, unsigned int thread, uint64_t off, uint64_t len, struct err *err)
{
	struct counted *c = ctx;

	(void)thread;
	if (off % 100 || len != (off == 6300 ? 50 : 100))
		return err_set(err, -ERANGE, "piece of %llu at %llu", (unsigned long long)len,
			       (unsigned long long)off);
	atomic_fetch_add(&c->piece[off / 100], 1);
	if (off / 100 == atomic_load(&c->fail_at))
		return err_set(err, -EPROTO, "piece %u", (unsigned int)off / 100);
	return 0;
}

static int count_enter(void *ctx, unsigned int thread, struct err *err)
{
	struct counted *c = ctx;

	atomic_fetch_add(&c->enters, 1);
	return c->fail_enter ? err_set(err, -ENOMEM, "thread %u", thread) : 0;
}

static void count_leave(void *ctx, unsigned int thread)
{
	struct counted *c = ctx;

	(void)thread;
	atomic_fetch_add(&c->leaves, 1);
}

static void sharing(struct arena *a)
{
	struct counted c = {.fail_at = 1000};
	struct work_share share = {.threads = 4,
				   .size = 6350,
				   .piece = 100,
				   .work = count_piece,
				   .enter = count_enter,
				   .leave = count_leave,
				   .ctx = &c};
	struct err err = ERR_INIT;
	unsigned int done = 0;
	bool ok = !work_share(&share, &err);

	for (unsigned int i = 0; i < 64; i++)
		ok &= c.piece[i] == 1;
	tap_ok(&a->tap, ok && c.enters == 3 && c.leaves == 3 && !err.msg[0],
	       "each piece is done once, by four threads");

	memset(&c, 0, sizeof(c));
	c.fail_at = 5;
	ok = work_share(&share, &err) == -EPROTO && !strcmp(err.msg, "piece 5");
	for (unsigned int i = 0; i < 64; i++)
		done += c.piece[i];
	share.threads = 1;
	memset(&c, 0, sizeof(c));
	c.fail_at = 5;
	ok &= work_share(&share, NULL) == -EPROTO && c.piece[5] == 1 && c.piece[6] == 0;
	tap_ok(&a->tap, ok, "an error ends the work, with its text (after %u of 64 pieces)", done);

	memset(&c, 0, sizeof(c));
	c.fail_at = 1000;
	c.fail_enter = true;
	share.threads = 2;
	err.msg[0] = '\0';
	ok = work_share(&share, &err) == -ENOMEM && !strcmp(err.msg, "thread 1") && !c.leaves;
	tap_ok(&a->tap, ok, "a thread that cannot begin is an error");

	memset(&c, 0, sizeof(c));
	c.fail_at = 1000;
	share.size = 0;
	ok = !work_share(&share, NULL) && !c.enters && !c.piece[0];
	share.size = 100;
	share.threads = 64;
	ok &= !work_share(&share, NULL) && !c.enters && c.piece[0] == 1;
	tap_ok(&a->tap, ok, "no more threads than pieces");

	share.threads = 0;
	ok = work_share(&share, NULL) == -EINVAL;
	share.threads = SHARE_MAX_THREADS + 1;
	ok &= work_share(&share, NULL) == -EINVAL;
	share.threads = 1;
	share.piece = 0;
	ok &= work_share(&share, NULL) == -EINVAL;
	tap_ok(&a->tap, ok, "0 or 65 threads and pieces of nothing are refused");
}

/* What depends on the size of a page: that of the host, and larger ones that another host has. */
static void with_pages(struct arena *a, size_t page)
{
	size_t bytes = tagcode_packed_size(PAGES * page);

	a->page = a->w.page = page;
	a->size = PAGES * page;
	a->mem = map_tagged(a->size);
	a->area = (struct tag_area){.base = a->mem, .size = a->size};
	a->data = malloc(a->size);
	a->tags = malloc(bytes);
	a->packed = malloc(bytes);
	a->got = malloc(bytes + 1);
	a->want = malloc(bytes);
	round_trips(a);
	fills(a);
	odd_runs(a);
	shapes(a);
	data_leaves_tags(a);
	bad_ranges(a);
	munmap(a->mem, a->size);
	free(a->data);
	free(a->tags);
	free(a->packed);
	free(a->got);
	free(a->want);
}

int main(void)
{
	struct arena a = {.seed = 20240607};
	struct err err = ERR_INIT;

	if (!(getauxval(AT_HWCAP2) & HWCAP2_MTE))
		return tap_skip_all("this machine has no MTE");
	if (!tap_ok(&a.tap, !tags_init(&a.w, TAG_WAY_LDG, -1, &err), "the walker is made: %s",
		    err.msg[0] ? err.msg : "no error"))
		return tap_end(&a.tap);
	tap_ok(&a.tap, tags_init(&(struct tag_walker){0}, TAG_WAY_IOCTL, -1, NULL) == -EINVAL,
	       "the way through KVM needs a VM");
	tags_hold(&a);
	dc_blocks(&a);
	for (size_t page = sysconf(_SC_PAGESIZE); page <= TAGCODE_PAGE_MAX; page *= 4)
		with_pages(&a, page);
	a.page = a.w.page = sysconf(_SC_PAGESIZE);
	absent_stays(&a);
	threads_agree(&a);
	sharing(&a);
	return tap_end(&a.tap);
}
