/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tagkeep tfsr|tco|irg CPU
 *
 * A program with a state of MTE that lies in registers alone, nearly all of the time, on that CPU; whoever saves and restores
 * the machine meanwhile and loses it is told. Prints "WAY N" as it goes on, "WAY: WRONG ..." when it is not as it should be.
 *   tfsr   in asynchronous mode: a store through a wrong pointer, which the CPU only notes (TFSRE0_EL1) until the next interrupt.
 *          It waits for the signal without a system call, and makes the next one at once
 *   tco    in synchronous mode, but with PSTATE.TCO set: wrong pointers work
 *   irg    random tags, which QEMU computes from a seed (RGSR_EL1) by the Arm ARM's AArch64.RandomTag() even where the kernel has
 *          asked for better ones: the program works out the seed and foretells each tag. No other may use IRG on that CPU, so
 *          not on a kernel that has KASAN_HW_TAGS on
 */
#define _GNU_SOURCE /* CPU_SET() */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mte.h"

#ifndef PR_MTE_TCF_ASYNC
#define PR_MTE_TCF_ASYNC (1UL << 2)
#endif

#define PATIENCE 30000000u /* rounds of waiting, 30 ms and more; a timer interrupt comes before */
#define IRGS	 200000u   /* between two lines */

static volatile unsigned int told; /* signals that came */
static const char *way;

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	if (info->si_code != 8 /* SEGV_MTEAERR */) {
		printf("%s: WRONG signal code %d at %p\n", way, info->si_code, info->si_addr);
		fflush(stdout);
		_exit(1);
	}
	told++;
}

static void say(unsigned long n)
{
	printf("%s %lu\n", way, n);
	fflush(stdout);
}

static void wrong(const char *what)
{
	printf("%s: WRONG %s\n", way, what);
	fflush(stdout);
	_exit(1);
}

static int mode(unsigned long how)
{
	return prctl(PR_SET_TAGGED_ADDR_CTRL,
		     PR_TAGGED_ADDR_ENABLE | how | 0xffffUL << PR_MTE_TAG_SHIFT, 0, 0, 0);
}

static void tfsr(volatile char *bad)
{
	if (mode(PR_MTE_TCF_ASYNC))
		wrong("prctl");
	for (unsigned long n = 0;; n++) {
		unsigned int before = told, i = 0;

		*bad = (char)n;
		while (told == before)
			if (++i == PATIENCE)
				wrong("a tag check fault that was pending was not told");
		if (n % 100 == 99)
			say(n / 100);
	}
}

static uint64_t tco_now(void)
{
	uint64_t v;

	__asm__ volatile("mrs %0, s3_3_c4_c2_7" : "=r"(v));
	return v;
}

static void tco(volatile char *bad)
{
	if (mode(PR_MTE_TCF_SYNC))
		wrong("prctl");
	__asm__ volatile(".arch armv8.5-a+memtag\n\tmsr tco, #1" ::: "memory");
	for (unsigned long n = 0;; n++) {
		for (unsigned int i = 0; i < 1000000; i++) {
			*bad = (char)(*bad + 1);
			if (tco_now() != 1u << 25)
				wrong("PSTATE.TCO is clear");
		}
		say(n);
	}
}

static unsigned int irg_tag(void)
{
	uint64_t v;

	__asm__ volatile(".arch armv8.5-a+memtag\n\tirg %0, %1, %2" : "=r"(v) : "r"(0ul), "r"(0ul));
	return v >> 56 & 15;
}

/* AArch64.RandomTag(): four bits from a shift register of 16. */
static unsigned int next_offset(unsigned int *seed)
{
	unsigned int offset = 0;

	for (int i = 0; i < 4; i++) {
		unsigned int top = (*seed >> 5 ^ *seed >> 3 ^ *seed >> 2 ^ *seed) & 1;

		*seed = top << 15 | *seed >> 1;
		offset |= top << i;
	}
	return offset;
}

static void irg(void)
{
	unsigned int tag, seed = 0;

	if (mode(PR_MTE_TCF_SYNC))
		wrong("prctl");
	tag = irg_tag();
	/* Tags differ by what the register gave: after four of them all of its bits have been seen. */
	for (int i = 0; i < 4; i++) {
		unsigned int next = irg_tag();

		seed |= ((next - tag) & 15) << 4 * i;
		tag = next;
	}
	for (unsigned long n = 0;; n++) {
		for (unsigned int i = 0; i < IRGS; i++) {
			unsigned int next = irg_tag();

			tag = (tag + next_offset(&seed)) & 15;
			if (next == tag)
				continue;
			if (!n)
				printf("irg: this CPU's tags cannot be foretold\n");
			wrong("tag is not the next one");
		}
		say(n);
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	cpu_set_t cpus;
	char *memory;

	if (argc != 3)
		return 2;
	way = argv[1];
	CPU_ZERO(&cpus);
	CPU_SET((int)strtol(argv[2], NULL, 10), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0 || mte_enable() < 0) {
		printf("%s: no such CPU, or no MTE\n", way);
		return 2;
	}
	sigaction(SIGSEGV, &action, NULL);
	memory = mte_alloc(4096);
	if (!memory)
		return 1;
	memory = with_tag(memory, 3);
	set_memory_tag(memory);
	if (!strcmp(way, "tfsr"))
		tfsr(with_tag(memory, 8));
	else if (!strcmp(way, "tco"))
		tco(with_tag(memory, 8));
	else
		irg();
	return 0;
}
