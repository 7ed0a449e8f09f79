/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the small MTE programs for Linux share. A granule is 16 bytes and has a tag of four bits; a
 * pointer carries its tag in bits 59:56 (Arm ARM, chapter "The Memory Tagging Extension").
 */
#ifndef TESTS_GUEST_LINUX_MTE_H
#define TESTS_GUEST_LINUX_MTE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define GRANULE	  16
#define TAG_SHIFT 56
#define TAG_MASK  ((uint64_t)0xf << TAG_SHIFT)

#ifndef HWCAP2_MTE
#define HWCAP2_MTE (1UL << 18)
#endif
#ifndef PROT_MTE
#define PROT_MTE 0x20
#endif

static inline unsigned int pointer_tag(const volatile void *p)
{
	return (uint64_t)p >> TAG_SHIFT & 0xf;
}

static inline void *with_tag(const volatile void *p, unsigned int tag)
{
	return (void *)(((uint64_t)p & ~TAG_MASK) | (uint64_t)(tag & 0xf) << TAG_SHIFT);
}

/* The tag that memory has, whatever the tag of the pointer. */
static inline unsigned int memory_tag(const volatile void *p)
{
	uint64_t x = (uint64_t)p;

	__asm__ volatile(".arch armv8.5-a+memtag\n\tldg %0, [%0]" : "+r"(x) : : "memory");
	return pointer_tag((void *)x);
}

/* Gives the granule at p the tag that p carries. */
static inline void set_memory_tag(volatile void *p)
{
	__asm__ volatile(".arch armv8.5-a+memtag\n\tstg %0, [%0]" : : "r"(p) : "memory");
}

/* p with a random tag: one that is neither excluded by prctl() nor in the mask `not`. */
static inline void *random_tag(const volatile void *p, uint64_t not )
{
	void *res;

	__asm__ volatile(".arch armv8.5-a+memtag\n\tirg %0, %1, %2"
			 : "=r"(res)
			 : "r"(p), "r"(not ));
	return res;
}

/*
 * Turns tag checks on for this thread: synchronous, IRG gives tags 1 to 15. Returns 0, or -1 if this
 * machine has no MTE.
 */
static inline int mte_enable(void)
{
	if (!(getauxval(AT_HWCAP2) & HWCAP2_MTE))
		return -1;
	return prctl(PR_SET_TAGGED_ADDR_CTRL,
		     PR_TAGGED_ADDR_ENABLE | PR_MTE_TCF_SYNC | 0xfffeUL << PR_MTE_TAG_SHIFT, 0, 0,
		     0);
}

/* Fresh memory that has tags, all of them 0; NULL if there is none. */
static inline void *mte_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_MTE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

#endif
