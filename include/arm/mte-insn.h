/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory tags, one at a time, and what the tag engine (arm/tags-ldg.c) needs for more: Arm ARM D10, C6.2 (LDG, STG,
 * ST2G, STZ2G), C5.3 (DC GVA, DC GZVA). LDGM, STGM and STZGM are EL1's.
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

static inline uint64_t mte_dczid(void)
{
	uint64_t dczid;

	__asm__("mrs %0, dczid_el0" : "=r"(dczid));
	return dczid;
}

/*
 * Bytes that DC GVA and DC GZVA work on, by DCZID_EL0 (Arm ARM D19.2): BS counts 4-byte words, as a power of two. 0
 * where they are of no use: EL0 may not use them (DZP), a granule is larger, or more than @most at a time.
 */
static inline size_t mte_dc_block(uint64_t dczid, size_t most)
{
	size_t block = (size_t)4 << (dczid & 15);

	return dczid & 1 << 4 || block < MTE_GRANULE || block > most ? 0 : block;
}

#endif
