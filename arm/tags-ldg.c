/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tags by instruction, Arm ARM C6.2. Two facts make it cheap: LDG changes only bits 59:56 of its destination, and STG
 * looks only at bits 59:56 of its source when the address is in another register. So a register that is rotated by
 * four bits between them collects, or deals out, 16 tags in two instructions each; offsets reach across 4 KiB.
 */
#include <stdbool.h>
#include <string.h>

#include "arm/mte-insn.h"
#include "arm/tags-ways.h"

#define WORD_BYTES 256 /* memory whose tags fill 64 bits */
#define READ_BYTES (4 * WORD_BYTES)

/* Memory offsets of the granules of a word but the last. */
#define FIRST_15 "0,16,32,48,64,80,96,112,128,144,160,176,192,208,224"
#define PAIRS_7	 "0,32,64,96,128,160,192"

static inline uint64_t ror(uint64_t v, unsigned int n)
{
	return v >> n | v << (64 - n);
}

/*
 * Four words at a time, so that four chains of dependent LDGs run side by side. What the registers held before is
 * rotated out. The last rotation takes the first tag from bits 63:60, where 15 rotations by 4 have brought it, to
 * bits 3:0.
 */
static inline void read_words(const uint8_t *p, uint8_t *packed)
{
	uint64_t w0, w1, w2, w3;

	__asm__ volatile(MTE_ASM ".irp g," FIRST_15 "\n\t"
				 "ldg %0, [%4, #\\g]\n\t"
				 "ldg %1, [%4, #(\\g + 256)]\n\t"
				 "ldg %2, [%4, #(\\g + 512)]\n\t"
				 "ldg %3, [%4, #(\\g + 768)]\n\t"
				 "ror %0, %0, #4\n\t"
				 "ror %1, %1, #4\n\t"
				 "ror %2, %2, #4\n\t"
				 "ror %3, %3, #4\n\t"
				 ".endr\n\t"
				 "ldg %0, [%4, #240]\n\t"
				 "ldg %1, [%4, #(240 + 256)]\n\t"
				 "ldg %2, [%4, #(240 + 512)]\n\t"
				 "ldg %3, [%4, #(240 + 768)]\n\t"
				 "ror %0, %0, #60\n\t"
				 "ror %1, %1, #60\n\t"
				 "ror %2, %2, #60\n\t"
				 "ror %3, %3, #60"
			 : "=&r"(w0), "=&r"(w1), "=&r"(w2), "=&r"(w3)
			 : "r"(p)
			 : "memory");
	memcpy(packed, &w0, 8);
	memcpy(packed + 8, &w1, 8);
	memcpy(packed + 16, &w2, 8);
	memcpy(packed + 24, &w3, 8);
}

int ldg_read(const uint8_t *p, size_t len, uint8_t *packed)
{
	for (const uint8_t *end = p + len; p < end; p += READ_BYTES) {
		read_words(p, packed);
		packed += READ_BYTES / MTE_GRANULE / 2;
	}
	return 0;
}

/* 16 tags, each its own. @w has the first in bits 59:56. */
static inline void write_single(uint8_t *p, uint64_t w)
{
	__asm__ volatile(MTE_ASM ".irp g," FIRST_15 "\n\t"
				 "stg %0, [%1, #\\g]\n\t"
				 "ror %0, %0, #4\n\t"
				 ".endr\n\t"
				 "stg %0, [%1, #240]"
			 : "+r"(w)
			 : "r"(p)
			 : "memory");
}

/* Eight pairs of equal tags. */
static inline void write_pairs(uint8_t *p, uint64_t w)
{
	__asm__ volatile(MTE_ASM ".irp g," PAIRS_7 "\n\t"
				 "st2g %0, [%1, #\\g]\n\t"
				 "ror %0, %0, #8\n\t"
				 ".endr\n\t"
				 "st2g %0, [%1, #224]"
			 : "+r"(w)
			 : "r"(p)
			 : "memory");
}

/* 16 times the same, whichever of its nibbles is in bits 59:56. */
static inline void write_same(uint8_t *p, uint64_t w)
{
	__asm__ volatile(MTE_ASM ".irp g," PAIRS_7 "\n\t"
				 "st2g %0, [%1, #\\g]\n\t"
				 ".endr\n\t"
				 "st2g %0, [%1, #224]"
			 :
			 : "r"(w), "r"(p)
			 : "memory");
}

int ldg_write(uint8_t *p, size_t len, const uint8_t *packed)
{
	for (uint8_t *end = p + len; p < end; p += WORD_BYTES) {
		uint64_t w;

		memcpy(&w, packed, sizeof(w));
		packed += sizeof(w);
		if ((w ^ w >> 4) & 0x0f0f0f0f0f0f0f0full)
			write_single(p, ror(w, 8));
		else if (w != ror(w, 8))
			write_pairs(p, ror(w, 8));
		else
			write_same(p, w);
	}
	return 0;
}

/* --- one tag throughout --- */

/* ST2G needs no more than a granule's alignment. */
static inline void fill_granules(uint8_t *p, size_t len, uint64_t tag)
{
	for (; len >= WORD_BYTES; len -= WORD_BYTES) {
		write_same(p, tag);
		p += WORD_BYTES;
	}
	/* What is left is a sum of powers of two. */
	if (len & 128) {
		__asm__ volatile(MTE_ASM ".irp g,0,32,64,96\n\t"
					 "st2g %0, [%1, #\\g]\n\t"
					 ".endr"
				 :
				 : "r"(tag), "r"(p)
				 : "memory");
		p += 128;
	}
	if (len & 64) {
		__asm__ volatile(MTE_ASM "st2g %0, [%1]\n\tst2g %0, [%1, #32]"
				 :
				 : "r"(tag), "r"(p)
				 : "memory");
		p += 64;
	}
	if (len & 32) {
		__asm__ volatile(MTE_ASM "st2g %0, [%1]" : : "r"(tag), "r"(p) : "memory");
		p += 32;
	}
	if (len & 16)
		__asm__ volatile(MTE_ASM "stg %0, [%1]" : : "r"(tag), "r"(p) : "memory");
}

/* 16 granules, and their data becomes zero. */
static inline void clear_word(uint8_t *p, uint64_t tag)
{
	__asm__ volatile(MTE_ASM ".irp g," PAIRS_7 ",224\n\t"
				 "stz2g %0, [%1, #\\g]\n\t"
				 ".endr"
			 :
			 : "r"(tag), "r"(p)
			 : "memory");
}

/*
 * Aligned blocks. DC takes the tag from bits 59:56 of the address. @zero, here and below, is a constant: each function
 * is compiled with it and without.
 */
static inline uint64_t fill_64_blocks(uint64_t x, size_t block, bool zero)
{
	if (zero)
		__asm__ volatile(MTE_ASM ".rept 64\n\t"
					 "dc gzva, %0\n\t"
					 "add %0, %0, %1\n\t"
					 ".endr"
				 : "+r"(x)
				 : "r"(block)
				 : "memory");
	else
		__asm__ volatile(MTE_ASM ".rept 64\n\t"
					 "dc gva, %0\n\t"
					 "add %0, %0, %1\n\t"
					 ".endr"
				 : "+r"(x)
				 : "r"(block)
				 : "memory");
	return x;
}

static inline uint64_t fill_block(uint64_t x, size_t block, bool zero)
{
	if (zero)
		__asm__ volatile(MTE_ASM "dc gzva, %0" : : "r"(x) : "memory");
	else
		__asm__ volatile(MTE_ASM "dc gva, %0" : : "r"(x) : "memory");
	return x + block;
}

/* Whole pages, one of 4 KiB at least; a block is a power of two and no larger than a page, or 0. */
static inline void fill_pages(uint8_t *p, size_t len, uint64_t tag, size_t block, bool zero)
{
	uint64_t x = (uintptr_t)p | tag, end = x + len;

	if (!block && !zero)
		fill_granules(p, len, tag);
	else if (!block)
		for (; len; len -= WORD_BYTES, p += WORD_BYTES)
			clear_word(p, tag);
	else if (block <= 4096 / 64)
		do
			x = fill_64_blocks(x, block, zero);
		while (x < end);
	else
		do
			x = fill_block(x, block, zero);
		while (x < end);
}

int ldg_fill(uint8_t *p, size_t len, unsigned int tag, size_t dc_block)
{
	fill_pages(p, len, mte_tag_bits(tag), dc_block, false);
	return 0;
}

int ldg_clear(uint8_t *p, size_t len, unsigned int tag, size_t dc_block)
{
	fill_pages(p, len, mte_tag_bits(tag), dc_block, true);
	return 0;
}

/*
 * Some granules in three widths: DC GVA where aligned blocks fit, two granules, one. A turn of the loop around DC GVA
 * takes four instructions, so a block must be worth four ST2G.
 */
static inline void fill_run(uint8_t *p, size_t len, uint64_t tag, size_t block)
{
	if (block >= 128 && len >= 2 * block) {
		size_t skip = -(uintptr_t)p & (block - 1);
		uint64_t x = (uintptr_t)(p + skip) | tag;

		fill_granules(p, skip, tag);
		len -= skip;
		p += skip + (len & -block);
		for (; len >= block; len -= block)
			x = fill_block(x, block, false);
	}
	fill_granules(p, len, tag);
}

int ldg_write_runs(uint8_t *p, const struct tag_shape *shape, size_t dc_block)
{
	for (unsigned int i = 0; i < shape->runs; i++) {
		size_t len = (size_t)shape->run[i].granules * MTE_GRANULE;

		fill_run(p, len, mte_tag_bits(shape->run[i].tag), dc_block);
		p += len;
	}
	return 0;
}
