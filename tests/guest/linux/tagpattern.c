/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tagpattern [MIB [THREADS [sync|async|asymm|mixed]]]
 *
 * Fills memory with tags and data that it can recompute, changes both all the time from several threads, and checks all of
 * it again and again, for ever: who saves and restores the machine meanwhile and loses one tag or byte of it is told. Prints
 * "tagpattern N" after each whole check, "tagpattern: WRONG ..." at the first thing that is not as it was made.
 *
 * Each thread owns a part, and knows of each page of it in which generation it is. Of four pages one has one tag throughout,
 * one has runs, one has a tag of its own for each granule and data that is zero, one has neither tags nor data. Besides, each
 * thread touches its memory through a wrong pointer now and then and must be told so by a signal: checks are really on. In
 * mode "mixed" each thread has another of the three modes.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mte.h"

#define THREADS_MAX 8
#define PAGE	    4096
#define GRANULES    (PAGE / GRANULE)

#ifndef PR_MTE_TCF_ASYNC
#define PR_MTE_TCF_ASYNC (1UL << 2)
#endif

struct part {
	pthread_t thread;
	unsigned int index;
	char *start;
	size_t pages;
	unsigned char *generation; /* of each page; 0: not made yet */
	uint64_t seed;
	unsigned long rounds; /* whole checks; atomic */
	unsigned long mode;
};

static _Thread_local sigjmp_buf fault_point;
static _Thread_local volatile int faults_wanted;

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (number == SIGSEGV && faults_wanted &&
	    (info->si_code == 9 /* SEGV_MTESERR */ || info->si_code == 8 /* SEGV_MTEAERR */))
		siglongjmp(fault_point, 1);
	printf("tagpattern: WRONG signal %d code %d at %p\n", number, info->si_code, info->si_addr);
	fflush(stdout);
	_exit(1);
}

static void wrong(const struct part *p, size_t page, size_t at, const char *what, uint64_t is,
		  uint64_t want)
{
	printf("tagpattern: WRONG %s: thread %u page %zu byte %zu: 0x%lx, not 0x%lx\n", what,
	       p->index, page, at, (unsigned long)is, (unsigned long)want);
	fflush(stdout);
	_exit(1);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint64_t key_of(const struct part *p, size_t page, unsigned int generation)
{
	return mix((uint64_t)p->index << 56 ^ (uint64_t)page << 16 ^ generation);
}

static unsigned int tag_at(uint64_t key, unsigned int generation, size_t granule)
{
	switch ((key ^ generation) & 3) {
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

static uint64_t word_at(uint64_t key, unsigned int generation, size_t word)
{
	return ((key ^ generation) & 3) >= 2 ? 0 : mix(key ^ word << 20);
}

static void make_page(struct part *p, size_t page, unsigned int generation)
{
	uint64_t key = key_of(p, page, generation);

	for (size_t g = 0; g < GRANULES; g++) {
		uint64_t *to =
			with_tag(p->start + page * PAGE + g * GRANULE, tag_at(key, generation, g));

		set_memory_tag(to);
		to[0] = word_at(key, generation, 2 * g);
		to[1] = word_at(key, generation, 2 * g + 1);
	}
	p->generation[page] = generation;
}

static void check_page(struct part *p, size_t page)
{
	unsigned int generation = p->generation[page];
	uint64_t key = key_of(p, page, generation);

	for (size_t g = 0; g < GRANULES; g++) {
		char *at = p->start + page * PAGE + g * GRANULE;
		unsigned int tag = generation ? tag_at(key, generation, g) : 0;
		const uint64_t *from = with_tag(at, tag);

		if (memory_tag(at) != tag)
			wrong(p, page, g * GRANULE, "tag", memory_tag(at), tag);
		for (size_t i = 0; i < 2; i++) {
			uint64_t want = generation ? word_at(key, generation, 2 * g + i) : 0;

			if (from[i] != want)
				wrong(p, page, g * GRANULE + 8 * i, "data", from[i], want);
		}
	}
}

/* A wrong pointer is told: at once, or at the next system call. Data stays as it is: what was read is written. */
static void touch_wrongly(struct part *p, size_t page)
{
	char *at = p->start + page * PAGE;
	volatile uint64_t *bad = with_tag(at, memory_tag(at) ^ 5);

	faults_wanted = 1;
	if (sigsetjmp(fault_point, 1) == 0) {
		uint64_t value = bad[0];

		if (p->mode == PR_MTE_TCF_SYNC)
			wrong(p, page, 0, "wrong pointer was not told", 0, 1);
		bad[0] = value;
		getppid();
		wrong(p, page, 0, "wrong pointer was not told, nor later", 0, 1);
	}
	faults_wanted = 0;
}

static void *work(void *arg)
{
	struct part *p = arg;

	if (prctl(PR_SET_TAGGED_ADDR_CTRL,
		  PR_TAGGED_ADDR_ENABLE | p->mode | 0xfffeUL << PR_MTE_TAG_SHIFT, 0, 0, 0) < 0) {
		printf("tagpattern: WRONG prctl: %s\n", strerror(errno));
		_exit(1);
	}
	for (;;) {
		for (size_t page = 0; page < p->pages; page++) {
			size_t other = (p->seed = mix(p->seed + 1)) % p->pages;

			check_page(p, page);
			make_page(p, other, 1 + p->seed / p->pages % 250);
			if (page % 64 == 0)
				touch_wrongly(p, page);
		}
		__atomic_fetch_add(&p->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static unsigned long mode_of(const char *name, unsigned int thread)
{
	static const char *const names[] = {"sync", "async", "asymm"};
	static const unsigned long modes[] = {PR_MTE_TCF_SYNC, PR_MTE_TCF_ASYNC,
					      PR_MTE_TCF_ASYNC | PR_MTE_TCF_SYNC};

	for (unsigned int i = 0; i < 3; i++)
		if (!strcmp(name, names[i]))
			return modes[i];
	return modes[thread % 3];
}

static unsigned long least_rounds(const struct part *parts, unsigned int n)
{
	unsigned long least = ~0ul;

	for (unsigned int i = 0; i < n; i++) {
		unsigned long r = __atomic_load_n(&parts[i].rounds, __ATOMIC_RELAXED);

		least = r < least ? r : least;
	}
	return least;
}

int main(int argc, char **argv)
{
	size_t mib = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 8, pages;
	unsigned int threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 2;
	const char *name = argc > 3 ? argv[3] : "sync";
	unsigned long said = 0;
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
	struct part parts[THREADS_MAX] = {0};
	char *memory;

	if (!threads || threads > THREADS_MAX || !mib)
		return 2;
	if (mte_enable() < 0) {
		printf("tagpattern: this machine has no MTE\n");
		return 2;
	}
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	pages = (mib << 20) / PAGE / threads;
	memory = mte_alloc(mib << 20);
	if (!memory)
		return 1;
	for (unsigned int i = 0; i < threads; i++) {
		parts[i].index = i;
		parts[i].start = memory + i * pages * PAGE;
		parts[i].pages = pages;
		parts[i].generation = calloc(pages, 1);
		parts[i].seed = i + 1;
		parts[i].mode = mode_of(name, i);
		if (!parts[i].generation || pthread_create(&parts[i].thread, NULL, work, &parts[i]))
			return 1;
	}
	printf("tagpattern: %zu MiB, %u threads, %s\n", mib, threads, name);
	for (;;) {
		unsigned long now = least_rounds(parts, threads);

		while (said < now)
			printf("tagpattern %lu\n", ++said);
		fflush(stdout);
		usleep(50000);
	}
}
