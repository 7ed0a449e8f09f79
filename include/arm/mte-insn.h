/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The instructions of the Memory Tagging Extension that EL0 may use, one function each, and nothing else: Arm ARM
 * D10 and C6.2 (LDG, STG, ST2G, STZG, STZ2G), C5.3 (DC GVA, DC GZVA). LDGM, STGM and STZGM are EL1's.
 *
 * None of these accesses is tag-checked, and the top byte of the addresses is ignored. Tags stay only in memory mapped
 * with PROT_MTE: elsewhere reads give 0 and writes are dropped.
 */
#ifndef LKVM_ARM_MTE_INSN_H
#define LKVM_ARM_MTE_INSN_H

#include <stddef.h>
#include <stdint.h>

#define MTE_GRANULE   16
#define MTE_TAG_SHIFT 56

/* The tree is compiled for armv8.0: only the assembler is told, where the instructions are. */
#define MTE_ASM ".arch armv8.5-a+memtag\n\t"

/* LDG changes bits 59:56 of its destination and nothing else. */
static inline unsigned int mte_load_tag(const void *granule)
{
	uint64_t x = 0;

	__asm__ volatile(MTE_ASM "ldg %0, [%1]" : "+r"(x) : "r"(granule) : "memory");
	return x >> MTE_TAG_SHIFT;
}

/* The stores take the tag from bits 59:56 of one register, and the address from another. */
static inline uint64_t mte_tag_bits(unsigned int tag)
{
	return (uint64_t)(tag & 15) << MTE_TAG_SHIFT;
}

static inline void mte_store_tag(void *granule, unsigned int tag)
{
	__asm__ volatile(MTE_ASM "stg %0, [%1]"
			 :
			 : "r"(mte_tag_bits(tag)), "r"(granule)
			 : "memory");
}

/* Two granules, the first of them at any granule. */
static inline void mte_store_tag2(void *granule, unsigned int tag)
{
	__asm__ volatile(MTE_ASM "st2g %0, [%1]"
			 :
			 : "r"(mte_tag_bits(tag)), "r"(granule)
			 : "memory");
}

/* The same, with the data of the granule zeroed. */
static inline void mte_zero_tag(void *granule, unsigned int tag)
{
	__asm__ volatile(MTE_ASM "stzg %0, [%1]"
			 :
			 : "r"(mte_tag_bits(tag)), "r"(granule)
			 : "memory");
}

static inline void mte_zero_tag2(void *granule, unsigned int tag)
{
	__asm__ volatile(MTE_ASM "stz2g %0, [%1]"
			 :
			 : "r"(mte_tag_bits(tag)), "r"(granule)
			 : "memory");
}

/*
 * Bytes that DC GVA and DC GZVA work on, 0 where EL0 may not use them (DCZID_EL0.DZP). DCZID_EL0.BS counts 4-byte
 * words, as a power of two: 4 would be less than a granule.
 */
static inline size_t mte_dc_block(void)
{
	uint64_t dczid;

	__asm__("mrs %0, dczid_el0" : "=r"(dczid));
	if (dczid & 1 << 4 || (dczid & 15) < 2)
		return 0;
	return (size_t)4 << (dczid & 15);
}

#endif
