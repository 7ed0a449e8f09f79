/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory tags at EL1, with lkvm run --mte: each instruction, checked accesses in all modes, many pages, several CPUs.
 * pages=N: so many pages hold a pattern of tags at once (default 1024).
 */
#include "mte.h"

#define PAGE	 4096ull
#define GRANULES (PAGE / GRANULE)

static uint64_t area; /* PAGE-aligned, 16 pages */

/* Word @i of a data pattern. */
static uint64_t data(uint64_t at)
{
	return (at + 1) * 0x9e3779b97f4a7c15ull;
}

static void fill(uint64_t at, uint64_t size)
{
	for (uint64_t i = 0; i < size; i += 8)
		store(at + i, data(at + i));
}

static bool is_filled(uint64_t at, uint64_t size)
{
	for (uint64_t i = 0; i < size; i += 8)
		if (load(at + i) != data(at + i))
			return false;
	return true;
}

static bool is_zero(uint64_t at, uint64_t size)
{
	for (uint64_t i = 0; i < size; i += 8)
		if (load(at + i))
			return false;
	return true;
}

static bool tags_are(uint64_t at, uint64_t size, uint64_t tag)
{
	for (uint64_t i = 0; i < size; i += GRANULE)
		if (ldg(at + i) != tag)
			return false;
	return true;
}

/* Data and tags of the first two pages as they are before each test. */
static void start_over(void)
{
	fill(area, 2 * PAGE);
	for (uint64_t i = 0; i < 2 * PAGE; i += GRANULE)
		stg(area + i, 9);
}

/* What was to change was, and nothing on either side of it. */
static bool only(uint64_t from, uint64_t size, uint64_t tag, bool zeroed)
{
	return tags_are(area, from, 9) && tags_are(area + from, size, tag) &&
	       tags_are(area + from + size, 2 * PAGE - from - size, 9) && is_filled(area, from) &&
	       (zeroed ? is_zero(area + from, size) : is_filled(area + from, size)) &&
	       is_filled(area + from + size, 2 * PAGE - from - size);
}

static void random_tags(void)
{
	uint32_t seen = 0, excluded = 0, argument = 0;
	uint64_t first[16];
	bool same = true;

	write_reg(GCR_EL1, 0);
	write_reg(RGSR_EL1, 0x123 << 8);
	isb();
	for (unsigned int i = 0; i < 2000; i++)
		seen |= 1u << tag_of(irg(area, 0));
	ok(seen == 0xffff, "IRG gives every tag (%x)", seen);
	for (unsigned int i = 0; i < 500; i++)
		argument |= 1u << tag_of(irg(area, 0x0f0f));
	ok(argument == 0xf0f0, "but not those its argument excludes (%x)", argument);
	write_reg(GCR_EL1, 0x00ff);
	isb();
	for (unsigned int i = 0; i < 500; i++)
		excluded |= 1u << tag_of(irg(area, 0x0f00));
	ok(excluded == 0xf000, "nor those GCR_EL1 excludes (%x)", excluded);
	write_reg(GCR_EL1, 0xffff);
	isb();
	ok(tag_of(irg(tagged(area, 5), 0)) == 0, "and 0 when all are excluded");
	write_reg(GCR_EL1, 0);
	for (unsigned int round = 0; round < 2; round++) {
		write_reg(RGSR_EL1, 0xbeef << 8);
		isb();
		for (unsigned int i = 0; i < 16; i++) {
			uint64_t tag = tag_of(irg(area, 0));

			same = same && (!round || first[i] == tag);
			first[i] = tag;
		}
	}
	ok(same, "the same seed in RGSR_EL1 gives the same tags");
	ok(gmi(tagged(area, 3), 0x10) == 0x18, "GMI adds a tag to a mask");
}

static void stores(void)
{
	uint64_t zva = 4ull << (read_reg("dczid_el0") & 0xf);

	start_over();
	stg(area + PAGE - 16, 4);
	ok(only(PAGE - 16, 16, 4, false), "STG tags one granule");
	start_over();
	st2g(area + PAGE - 16, 4);
	ok(only(PAGE - 16, 32, 4, false), "ST2G tags two, across pages");
	start_over();
	stzg(area + 160, 4);
	ok(only(160, 16, 4, true), "STZG tags and zeroes one");
	start_over();
	stz2g(area + PAGE - 16, 4);
	ok(only(PAGE - 16, 32, 4, true), "STZ2G tags and zeroes two");
	start_over();
	stgp(tagged(area + 320, 6), data(area + 320), data(area + 328));
	ok(only(320, 16, 6, false), "STGP tags by its address");
	stgp(area + 320, 77, 78);
	ok(load(area + 320) == 77 && load(area + 328) == 78 && !ldg(area + 320),
	   "and stores a pair");

	if (read_reg("dczid_el0") & 16) {
		skip(2, "DC GVA is prohibited");
	} else {
		start_over();
		dc_gva(tagged(area + PAGE + 3, 7));
		ok(only(PAGE, zva, 7, false), "DC GVA tags %lu bytes", zva);
		start_over();
		dc_gzva(tagged(area + PAGE - 1, 7));
		ok(only(PAGE - zva, zva, 7, true), "DC GZVA tags and zeroes them");
	}
}

static void bulk(void)
{
	uint64_t size = 4ull << (read_reg(GMID_EL1) & 0xf), n = size / GRANULE;
	uint64_t pattern = 0xfedcba9876543210ull, want = 0;
	bool good = true;

	ok(size >= 32 && size <= 256, "GMID_EL1: LDGM and STGM take %lu bytes", size);
	start_over();
	/* Which bits of the register are meant depends on the address where it takes fewer than 16. */
	for (uint64_t at = area; at < area + PAGE; at += size)
		stgm(at, pattern);
	for (uint64_t i = 0; i < GRANULES; i++)
		good = good && ldg(area + i * GRANULE) == (pattern >> (i * 4 & 63) & 0xf);
	ok(good && is_filled(area, 2 * PAGE), "STGM tags each granule");
	good = tags_are(area + PAGE, PAGE, 9);
	for (uint64_t at = area; at < area + PAGE; at += size) {
		unsigned int shift = at / GRANULE % 16 * 4;

		want = n == 16 ? pattern : (pattern >> shift & ((1ull << n * 4) - 1)) << shift;
		good = good && ldgm(at) == want;
	}
	ok(good, "LDGM reads them");
	start_over();
	stzgm(area + PAGE, 3);
	size = 4ull << (read_reg("dczid_el0") & 0xf);
	ok(only(PAGE, size, 3, true), "STZGM tags and zeroes %lu bytes", size);
}

/* Each granule of a page a tag of its own: an emulator that drops the page offset fails here. */
static void many_pages(void)
{
	uint64_t pages = word_number("pages", 1024), sum = 0, wrong = 0, fresh = 0;
	uint64_t start = (uint64_t)(uintptr_t)alloc(16, PAGE);

	if (start + pages * PAGE > free_end())
		pages = (free_end() - start) / PAGE;
	for (uint64_t p = 0; p < pages; p++)
		for (uint64_t i = 0; i < GRANULES; i++)
			fresh += ldg(start + p * PAGE + i * GRANULE) != 0;
	ok(!fresh, "%lu new pages have no tags (%lu granules have)", pages, fresh);
	for (uint64_t p = 0; p < pages; p++) {
		store(start + p * PAGE, p);
		for (uint64_t i = 0; i < GRANULES; i++)
			stg(start + p * PAGE + i * GRANULE, i + p);
	}
	for (uint64_t p = 0; p < pages; p++) {
		wrong += load(start + p * PAGE) != p;
		for (uint64_t i = 0; i < GRANULES; i++) {
			uint64_t tag = ldg(start + p * PAGE + i * GRANULE);

			sum += tag;
			wrong += tag != ((i + p) & 0xf);
		}
	}
	ok(!wrong, "each granule of them keeps its own tag (%lu do not)", wrong);
	sum = sum * 100 / (pages * GRANULES);
	ok(sum == 750, "their mean is 7.5 (%lu hundredths)", sum);
}

/* One access, and whether it was stopped: by a tag check fault, at that address. */
static bool stopped_load(uint64_t at)
{
	try_begin();
	(void)load(at);
	return try_end() == 1 && ESR_EC(this_cpu()->esr) == EC_DABT &&
	       ESR_DFSC(this_cpu()->esr) == 0x11 && !(this_cpu()->esr >> 6 & 1) &&
	       (this_cpu()->far & ~(0xfull << 60)) == at;
}

static bool stopped_store(uint64_t at)
{
	try_begin();
	store(at, 1);
	return try_end() == 1 && ESR_EC(this_cpu()->esr) == EC_DABT &&
	       ESR_DFSC(this_cpu()->esr) == 0x11 && this_cpu()->esr >> 6 & 1;
}

static bool free_access(uint64_t at)
{
	uint64_t before;

	try_begin();
	before = load(at);
	store(at, before);
	return !try_end();
}

static void checks(void)
{
	uint64_t good = tagged(area, 9), wrong = tagged(area, 8);
	bool quiet, late;

	start_over();
	ok(free_access(wrong), "without checks any tag will do");
	write_reg(TCO, 0);
	tag_checks(1);
	ok(free_access(good), "synchronous: the right tag will do");
	ok(stopped_load(wrong), "a load with the wrong one is stopped");
	ok(stopped_store(wrong) && load(good) == data(area), "and a store, before it stores");
	stg(area + 16, 8);
	try_begin();
	(void)load(good + 12);
	ok(try_end() == 1, "and a load that reaches into the next granule");
	write_reg(TCO, TCO_BIT);
	ok(free_access(wrong), "not while TCO is set");
	write_reg(TCO, 0);
	/* LDG and STG are never checked. */
	try_begin();
	stg(wrong, 9);
	(void)ldg(wrong);
	ok(!try_end(), "nor LDG and STG");

	write_reg(TFSR_EL1, 0);
	tag_checks(2);
	quiet = free_access(good);
	dsb();
	isb();
	quiet = quiet && !read_reg(TFSR_EL1);
	late = free_access(wrong);
	dsb();
	isb();
	ok(quiet && late && read_reg(TFSR_EL1) == 1, "asynchronous: it is told in TFSR_EL1");
	write_reg(TFSR_EL1, 0);
	ok(!read_reg(TFSR_EL1), "which can be cleared");

	if ((read_reg("id_aa64pfr1_el1") >> 8 & 0xf) < 3) {
		skip(1, "no asymmetric checks (MTE3)");
	} else {
		tag_checks(3);
		quiet = stopped_load(wrong);
		try_begin();
		store(wrong, 1);
		late = !try_end();
		dsb();
		isb();
		ok(quiet && late && read_reg(TFSR_EL1) == 1,
		   "asymmetric: loads are stopped, stores are told");
	}
	tag_checks(0);
	write_reg(TFSR_EL1, 0);
	write_reg(TCO, TCO_BIT);
}

/* Through a mapping that is not Tagged there are no tags. */
static void untagged_mapping(void)
{
	uint64_t alias = area + ALIAS;
	bool good;

	start_over();
	good = ldg(alias) == 0;
	stg(alias, 5);
	ok(good && ldg(area) == 9, "an untagged mapping has no tags, and sets none");
	write_reg(TCO, 0);
	tag_checks(1);
	ok(free_access(tagged(alias, 8)), "nor checks");
	tag_checks(0);
	write_reg(TCO, TCO_BIT);
}

static volatile uint32_t wrong_tags[CPUS_MAX];

/* Neighbouring granules belong to different CPUs. */
static void tag_own(struct cpu *cpu)
{
	for (uint64_t round = 0; round < 8; round++) {
		uint64_t stride = GRANULE * board.cpus, at;

		for (at = area + cpu->index * GRANULE; at < area + 16 * PAGE; at += stride)
			stg(at, cpu->index + round);
		for (at = area + cpu->index * GRANULE; at < area + 16 * PAGE; at += stride)
			wrong_tags[cpu->index] += ldg(at) != ((cpu->index + round) & 0xf);
	}
}

static void several_cpus(void)
{
	bool good = true;

	if (board.cpus < 2) {
		skip(1, "one CPU only");
		return;
	}
	for (uint32_t i = 1; i < board.cpus; i++)
		good = good && cpu_start(i, tag_own) == PSCI_SUCCESS;
	tag_own(&cpus[0]);
	for (uint32_t i = 1; i < board.cpus; i++)
		good = good && cpu_wait_off(i, 60000) && !wrong_tags[i];
	ok(good && !wrong_tags[0], "%u CPUs tag neighbouring granules", board.cpus);
}

void guest_main(void)
{
	if (!has_mte)
		bail_out("this CPU has no MTE: start with --mte");
	plan(34);
	area = (uint64_t)(uintptr_t)alloc(16 * PAGE, PAGE);
	random_tags();
	stores();
	bulk();
	many_pages();
	checks();
	untagged_mapping();
	several_cpus();
}
