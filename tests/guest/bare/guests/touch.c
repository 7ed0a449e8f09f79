/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Touches each page of RAM behind the image: it is zero at first, holds a pattern, and the pattern is still there when
 * all is written. full=1: each word and not one a page. size=MIB: no more than that. then=wait: does not end, but waits
 * with all memory touched.
 */
#include "bare.h"

static uint64_t pattern(uint64_t at)
{
	return at * 0x9e3779b97f4a7c15ull ^ 0x5a5a5a5a5a5a5a5aull;
}

static volatile uint64_t *word_at(uint64_t at)
{
	return (volatile uint64_t *)(uintptr_t)at;
}

void guest_main(void)
{
	uint64_t start = free_start(), end = free_end(), wrong = 0;
	uint64_t step = word_is("full", "1") ? 8 : 4096, size = word_number("size", 0) << 20;

	if (size && end - start > size)
		end = start + size;
	plan(3);
	print("# 0x%lx to 0x%lx\n", start, end);
	for (uint64_t at = start; at < end; at += step)
		wrong += *word_at(at) != 0;
	ok(!wrong, "RAM is zero at the start (%lu words are not)", wrong);
	wrong = 0;
	for (uint64_t at = start; at < end; at += step)
		*word_at(at) = pattern(at);
	for (uint64_t at = start; at < end; at += step)
		wrong += *word_at(at) != pattern(at);
	ok(!wrong, "it holds what was written (%lu words do not)", wrong);
	/* The last bytes of RAM, too. */
	end = board.ram.base + board.ram.size - 8;
	if (end < board.fdt.base || end >= board.fdt.base + board.fdt.size) {
		uint64_t before = *word_at(end);

		*word_at(end) = pattern(end);
		ok(*word_at(end) == pattern(end), "to its last word");
		*word_at(end) = before;
	} else {
		skip(1, "the device tree is there");
	}
	if (word_is("then", "wait")) {
		print("waiting\n");
		for (;;)
			wfi();
	}
}
