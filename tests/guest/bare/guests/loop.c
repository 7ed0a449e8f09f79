/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs for ever: each CPU increments a counter of its own; the first one prints a line "count N" with the sum, ten
 * times a second. For tests that pause, stop or kill. With quiet=1 nothing is printed after the first line.
 */
#include "bare.h"

static volatile uint64_t counts[CPUS_MAX];

static void count(struct cpu *cpu)
{
	for (;;)
		counts[cpu->index]++;
}

static uint64_t sum(void)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < board.cpus; i++)
		total += counts[i];
	return total;
}

void guest_main(void)
{
	uint64_t next = now_us();
	bool quiet = word_is("quiet", "1");

	for (uint32_t i = 1; i < board.cpus; i++)
		cpu_start(i, count);
	print("loop: %u CPUs count\n", board.cpus);
	for (;;) {
		counts[0]++;
		if (quiet || now_us() < next)
			continue;
		print("count %lu\n", sum());
		next += 100000;
	}
}
