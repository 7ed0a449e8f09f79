/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that knows what is in it. Each CPU has a part of mib=N MiB (default 8), each page of which has data and tags that
 * can be computed again: one tag throughout, runs, a tag of its own for each granule with data that is zero, or neither data
 * nor tags. Prints "pattern 1" when all is filled; then every CPU changes pages and checks others, for ever, and "pattern N"
 * counts on. With rest=US all but the first CPU, which always does, rest after each round. With tags=1 they change tags alone,
 * and never data again. "WRONG ..." is the last that it says when a page is not as it was made.
 *
 * It is what tests/guest/linux/tagpattern.c is under a kernel, up in no time.
 */
#include "mte.h"

#define PAGE	    4096u
#define GRANULES    (PAGE / GRANULE)
#define PPI_VIRTUAL 27
#define AT_ONCE	    32u /* pages changed, and pages checked, in a round */

struct part {
	uint64_t start;
	uint32_t pages;
	uint16_t *generation; /* of each page */
	uint64_t seed;
	volatile uint32_t rounds;
	char pad[32]; /* its CPU's own cache line */
};

static struct part parts[CPUS_MAX];
static volatile uint32_t broken;
static bool tags_only;
static uint64_t rest_us;

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint64_t key_of(const struct part *p, uint32_t page)
{
	return mix(p->start + (uint64_t)page * PAGE + p->generation[page]);
}

static uint64_t data_key_of(const struct part *p, uint32_t page)
{
	return tags_only ? mix(p->start + (uint64_t)page * PAGE) : key_of(p, page);
}

static uint64_t tag_at(uint64_t key, uint32_t granule)
{
	switch (key & 3) {
	case 0:
		return key >> 8 & 15;
	case 1:
		return ((key >> 8) + granule / (1 + (key >> 16 & 31))) & 15;
	case 2:
		return mix(key + granule) & 15;
	default:
		return 0;
	}
}

static uint64_t word_at(uint64_t key, uint32_t granule)
{
	switch (key & 3) {
	case 0: /* compresses well */
		return key ^ granule / 64;
	case 1: /* does not */
		return key * (2 * granule + 1);
	default:
		return 0;
	}
}

static void make_page(struct part *p, uint32_t page)
{
	uint64_t at = p->start + (uint64_t)page * PAGE, key, data;
	bool again = p->generation[page]++;

	key = key_of(p, page);
	data = data_key_of(p, page);
	for (uint32_t g = 0; g < GRANULES; g++, at += GRANULE) {
		if (has_mte)
			stg(at, tag_at(key, g));
		if (again && tags_only)
			continue;
		store(at, word_at(data, g));
		store(at + 8, ~word_at(data, g) * !(data & 2));
	}
}

static void wrong(uint64_t at, const char *what, uint64_t is, uint64_t want)
{
	if (!__atomic_exchange_n(&broken, 1, __ATOMIC_RELAXED))
		print("WRONG %s at %lx: %lx, not %lx\n", what, at, is, want);
}

static void check_page(const struct part *p, uint32_t page)
{
	uint64_t at = p->start + (uint64_t)page * PAGE, key = key_of(p, page);
	uint64_t data = data_key_of(p, page);

	for (uint32_t g = 0; g < GRANULES && !broken; g++, at += GRANULE) {
		uint64_t second = ~word_at(data, g) * !(data & 2);

		if (has_mte && ldg(at) != tag_at(key, g))
			wrong(at, "tag", ldg(at), tag_at(key, g));
		if (load(at) != word_at(data, g))
			wrong(at, "data", load(at), word_at(data, g));
		if (load(at + 8) != second)
			wrong(at + 8, "data", load(at + 8), second);
	}
}

static uint32_t any_page(struct part *p)
{
	p->seed = mix(p->seed + 1);
	return (uint32_t)(p->seed % p->pages);
}

static void one_round(struct part *p)
{
	for (uint32_t i = 0; i < AT_ONCE; i++) {
		make_page(p, any_page(p));
		check_page(p, any_page(p));
	}
	p->rounds++;
}

static void fill(struct part *p)
{
	for (uint32_t page = 0; page < p->pages; page++)
		make_page(p, page);
	p->rounds++;
}

/* Without that nothing wakes a CPU that was saved when its time was just over. */
static void may_sleep(void)
{
	gic_cpu_init();
	gic_enable(PPI_VIRTUAL, 0x80, false);
}

static void work(struct cpu *cpu)
{
	struct part *p = &parts[cpu->index];

	may_sleep();
	fill(p);
	while (!broken) {
		one_round(p);
		sleep_us(rest_us);
	}
}

static bool all_past(uint32_t round)
{
	for (uint32_t i = 0; i < board.cpus; i++)
		if (parts[i].rounds < round)
			return broken;
	return true;
}

void guest_main(void)
{
	uint32_t pages = (uint32_t)(word_number("mib", 8) << 20) / PAGE / board.cpus;

	rest_us = word_number("rest", 0);
	gic_init();
	may_sleep();
	tags_only = has_mte && word_number("tags", 0);
	for (uint32_t i = 0; i < board.cpus; i++) {
		parts[i].pages = pages;
		parts[i].start = (uint64_t)(uintptr_t)alloc((uint64_t)pages * PAGE, PAGE);
		parts[i].generation = alloc(pages * sizeof(uint16_t), 16);
		parts[i].seed = i;
		if (i && cpu_start(i, work))
			bail_out("CPU %u does not start", i);
	}
	fill(&parts[0]);
	for (uint32_t n = 1; !broken; n++) {
		while (!all_past(n))
			sleep_us(1000);
		print("pattern %u\n", n);
		one_round(&parts[0]);
		sleep_us(20000);
	}
	print("pattern: the end\n");
	for (;;)
		wfi();
}
