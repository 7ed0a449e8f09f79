/* SPDX-License-Identifier: GPL-2.0-only */
/* Instructions and registers of the Memory Tagging Extension (Arm ARM, D10), each as a function. */
#ifndef LKVM_TESTS_BARE_MTE_H
#define LKVM_TESTS_BARE_MTE_H

#include "bare.h"

#define MTE_ARCH ".arch armv8.5-a+memtag\n\t"

#define RGSR_EL1   "s3_0_c1_c0_5"
#define GCR_EL1	   "s3_0_c1_c0_6"
#define TFSR_EL1   "s3_0_c5_c6_0"
#define TFSRE0_EL1 "s3_0_c5_c6_1"
#define GMID_EL1   "s3_1_c0_c0_4"
#define TCO	   "s3_3_c4_c2_7"
#define TCO_BIT	   (1ull << 25)

#define GRANULE	  16
#define TAG_SHIFT 56

#define SCTLR_TCF_SHIFT 40 /* 0 none, 1 synchronous, 2 asynchronous, 3 reads synchronous */

/* Addresses are numbers here: a tag is their bits 59:56. */
static inline uint64_t tagged(uint64_t at, uint64_t tag)
{
	return (at & ~(0xffull << TAG_SHIFT)) | (tag & 0xf) << TAG_SHIFT;
}

static inline uint64_t tag_of(uint64_t at)
{
	return at >> TAG_SHIFT & 0xf;
}

static inline uint64_t irg(uint64_t at, uint64_t exclude)
{
	uint64_t out;

	__asm__ volatile(MTE_ARCH "irg %0, %1, %2" : "=r"(out) : "r"(at), "r"(exclude));
	return out;
}

static inline uint64_t gmi(uint64_t at, uint64_t mask)
{
	uint64_t out;

	__asm__ volatile(MTE_ARCH "gmi %0, %1, %2" : "=r"(out) : "r"(at), "r"(mask));
	return out;
}

/* The tag of the granule at @at. */
static inline uint64_t ldg(uint64_t at)
{
	uint64_t out = at;

	__asm__ volatile(MTE_ARCH "ldg %0, [%1]" : "+r"(out) : "r"(at) : "memory");
	return tag_of(out);
}

#define DEFINE_TAG_STORE(name)                                                             \
	static inline void name(uint64_t at, uint64_t tag)                                 \
	{                                                                                  \
		__asm__ volatile(MTE_ARCH #name " %0, [%1]" ::"r"(tagged(0, tag)), "r"(at) \
				 : "memory");                                              \
	}
DEFINE_TAG_STORE(stg)
DEFINE_TAG_STORE(st2g)
DEFINE_TAG_STORE(stzg)
DEFINE_TAG_STORE(stz2g)

/* Two words and the address's own tag. */
static inline void stgp(uint64_t at, uint64_t a, uint64_t b)
{
	__asm__ volatile(MTE_ARCH "stgp %0, %1, [%2]" ::"r"(a), "r"(b), "r"(at) : "memory");
}

/* GMID_EL1 says how many bytes they cover; tags lie where the address says. */
static inline uint64_t ldgm(uint64_t at)
{
	uint64_t out;

	__asm__ volatile(MTE_ARCH "ldgm %0, [%1]" : "=r"(out) : "r"(at) : "memory");
	return out;
}

static inline void stgm(uint64_t at, uint64_t tags)
{
	__asm__ volatile(MTE_ARCH "stgm %0, [%1]" ::"r"(tags), "r"(at) : "memory");
}

static inline void stzgm(uint64_t at, uint64_t tag)
{
	__asm__ volatile(MTE_ARCH "stzgm %0, [%1]" ::"r"(tag), "r"(at) : "memory");
}

static inline void dc_gva(uint64_t at)
{
	__asm__ volatile(MTE_ARCH "dc gva, %0" ::"r"(at) : "memory");
}

static inline void dc_gzva(uint64_t at)
{
	__asm__ volatile(MTE_ARCH "dc gzva, %0" ::"r"(at) : "memory");
}

static inline uint64_t load(uint64_t at)
{
	return in64(at);
}

static inline void store(uint64_t at, uint64_t value)
{
	out64(at, value);
}

static inline void tag_checks(uint64_t tcf)
{
	uint64_t sctlr = read_reg("sctlr_el1") & ~(3ull << SCTLR_TCF_SHIFT);

	write_reg("sctlr_el1", sctlr | tcf << SCTLR_TCF_SHIFT);
	isb();
}

#endif
