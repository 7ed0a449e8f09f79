/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MTE seen from a program: tag memory, read it back through the right pointer, touch it through a
 * wrong one, and be stopped. Exit code 0 if everything went that way.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mte.h"

#ifndef SEGV_MTESERR
#define SEGV_MTESERR 9
#endif
#ifndef SA_EXPOSE_TAGBITS
#define SA_EXPOSE_TAGBITS 0x00000800
#endif

#define OBJECT 32 /* bytes, two granules */

static sigjmp_buf stopped;
static siginfo_t volatile fault;

static void on_segv(int sig, siginfo_t *info, void *ctx)
{
	(void)sig;
	(void)ctx;
	fault = *info;
	siglongjmp(stopped, 1);
}

static void show(const char *what, const char *p, size_t len)
{
	for (size_t off = 0; off < len; off += GRANULE)
		printf("  granule %p (%s): memory tag %u\n", with_tag(p + off, 0), what,
		       memory_tag(p + off));
}

/* Gives len bytes at p the tag that p carries. */
static void paint(char *p, size_t len)
{
	for (size_t off = 0; off < len; off += GRANULE)
		set_memory_tag(p + off);
}

/* Stores one byte through p; true if the processor stopped that. */
static bool store_is_stopped(volatile char *p)
{
	if (sigsetjmp(stopped, 1))
		return true;
	*p = '!';
	return false;
}

/* Tries a store that must be stopped with SEGV_MTESERR, and tells what came of it. */
static bool try_wrong(const char *why, char *p)
{
	const unsigned int tag = memory_tag(p);

	printf("%s:\n  storing at %p through a pointer with tag %u ...\n", why, with_tag(p, 0),
	       pointer_tag(p));
	fflush(stdout);
	if (!store_is_stopped(p)) {
		printf("  NOT STOPPED: the store went through, although the memory has tag %u\n",
		       tag);
		return false;
	}
	if (fault.si_code != SEGV_MTESERR) {
		printf("  stopped, but with si_code %d and not SEGV_MTESERR (%d)\n", fault.si_code,
		       SEGV_MTESERR);
		return false;
	}
	printf("  stopped: SIGSEGV, SEGV_MTESERR: granule %p has tag %u, the pointer had tag %u\n",
	       with_tag((void *)((uint64_t)fault.si_addr & ~(uint64_t)(GRANULE - 1)), 0), tag,
	       pointer_tag(fault.si_addr));
	return with_tag(fault.si_addr, 0) == with_tag(p, 0) &&
	       pointer_tag(fault.si_addr) == pointer_tag(p);
}

int main(void)
{
	static const char text[] = "tagged and well";
	struct sigaction sa = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_EXPOSE_TAGBITS};
	char *mem, *a, *b;
	int good = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (mte_enable() < 0) {
		printf("mte-demo: this machine has no MTE\n");
		return 1;
	}
	mem = mte_alloc((size_t)sysconf(_SC_PAGESIZE));
	if (!mem || sigaction(SIGSEGV, &sa, NULL) < 0) {
		perror("mte-demo");
		return 1;
	}

	printf("Two objects of %d bytes, side by side, each with a random tag of its own:\n",
	       OBJECT);
	a = random_tag(mem, 0);
	paint(a, OBJECT);
	b = random_tag(mem + OBJECT, 1UL << pointer_tag(a));
	paint(b, OBJECT);
	show("object A", a, OBJECT);
	show("object B", b, OBJECT);
	if (memory_tag(a) == pointer_tag(a) && memory_tag(b) == pointer_tag(b) &&
	    memory_tag(a + GRANULE) == pointer_tag(a) && memory_tag(a) != memory_tag(b))
		good++;

	memcpy(a, text, sizeof(text));
	printf("Through the right pointer (tag %u) object A reads back: \"%s\"\n", pointer_tag(a),
	       a);
	if (!strcmp(a, text))
		good++;

	good += try_wrong("One byte past the end of object A", a + OBJECT);

	printf("Object A is freed: its memory gets another tag.\n");
	paint(random_tag(a, 1UL << pointer_tag(a)), OBJECT);
	good += try_wrong("Use after free, through the old pointer", a);

	printf("Summary: %d of 4 as they should be (tags kept, right pointer works, overflow stopped, use after free stopped)\n",
	       good);
	return good == 4 ? EXIT_SUCCESS : EXIT_FAILURE;
}
