/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tags as guests have them and as they hurt, packed (state/tagcode.h). Used by the tests of the tag engine and by its
 * bench.
 */
#ifndef TESTS_TAGPATTERN_H
#define TESTS_TAGPATTERN_H

#include <stddef.h>
#include <stdint.h>

enum pattern {
	PATTERN_ZERO,	 /* never tagged */
	PATTERN_UNIFORM, /* a tag a page, as Linux's page allocator gives */
	PATTERN_FEW,	 /* some long runs a page */
	PATTERN_RUNS,	 /* runs of 2 to 32 granules, an even number: as a slab of KASAN_HW_TAGS */
	PATTERN_STRIPED, /* each granule unlike the one before */
	PATTERN_RANDOM,
	PATTERNS
};

static inline const char *pattern_name(enum pattern p)
{
	static const char *const names[] = {"zero",	  "uniform", "few runs",
					    "short runs", "striped", "random"};

	return names[p];
}

/* splitmix64 */
static inline uint64_t pattern_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline void pattern_set(uint8_t *packed, size_t granule, unsigned int tag)
{
	uint8_t *b = packed + granule / 2;

	*b = granule & 1 ? (*b & 0x0f) | tag << 4 : (*b & 0xf0) | tag;
}

/* How long the next run is, in granules, and its tag. */
static inline size_t pattern_run(enum pattern p, uint64_t *seed, unsigned int *tag)
{
	uint64_t r = pattern_random(seed);

	switch (p) {
	case PATTERN_ZERO:
		*tag = 0;
		return 256;
	case PATTERN_UNIFORM:
		*tag = r & 15;
		return 256;
	case PATTERN_FEW:
		*tag = r & 15;
		return 16 + (r >> 8) % 120;
	case PATTERN_RUNS:
		*tag = r & 15;
		return 2 + (r >> 8) % 16 * 2;
	case PATTERN_STRIPED:
		*tag = (*tag + 1 + (r & 7)) & 15;
		return 1;
	default:
		*tag = r & 15;
		return 1;
	}
}

/* @len bytes of memory, whole pages of 4 KiB. */
static inline void pattern_make(enum pattern p, size_t len, uint64_t *seed, uint8_t *packed)
{
	unsigned int tag = 0;

	for (size_t i = 0, n = len / 16; i < n;) {
		size_t end = i + pattern_run(p, seed, &tag);

		for (; i < end && i < n; i++)
			pattern_set(packed, i, tag);
	}
}

#endif
