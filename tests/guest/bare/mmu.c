/* SPDX-License-Identifier: GPL-2.0-only */
/* Stage 1: everything where it lies, in blocks of 1 GiB, and once more from ALIAS on (bare.h). */
#include "bare.h"

#define GIB	     (1ull << 30)
#define ENTRIES	     512
#define DESC_TABLE   3ull
#define DESC_BLOCK   1ull
#define DESC_AF	     (1ull << 10)
#define DESC_INNER   (3ull << 8)
#define DESC_XN	     (3ull << 53)
#define DESC_ATTR(i) ((uint64_t)(i) << 2)

enum attr { ATTR_DEVICE, ATTR_NORMAL, ATTR_UNCACHED };

bool has_mte;

static uint64_t level0[ENTRIES] __attribute__((aligned(4096)));
static uint64_t level1[ENTRIES] __attribute__((aligned(4096)));
static uint64_t level1_alias[ENTRIES] __attribute__((aligned(4096)));

static uint64_t next_free;

/* How many GiB of physical addresses there are, at most those of one table. */
static uint64_t physical_gibs(void)
{
	static const uint8_t bits[] = {32, 36, 40, 42, 44, 48, 52, 56};
	uint64_t gibs = 1ull << (bits[read_reg("id_aa64mmfr0_el1") & 7] - 30);

	return gibs < ENTRIES ? gibs : ENTRIES;
}

void mmu_init(void)
{
	uint64_t gibs = physical_gibs();
	uint64_t ram = board.ram.base / GIB, ram_end = board.ram.base + board.ram.size;

	has_mte = (read_reg("id_aa64pfr1_el1") >> 8 & 0xf) >= 2;
	for (uint64_t i = 0; i < gibs; i++) {
		bool is_ram = i >= ram && i * GIB < ram_end;

		level1[i] = i * GIB | DESC_BLOCK | DESC_AF | DESC_INNER |
			    (is_ram ? DESC_ATTR(ATTR_NORMAL) : DESC_ATTR(ATTR_DEVICE) | DESC_XN);
		level1_alias[i] =
			i * GIB | DESC_BLOCK | DESC_AF | DESC_INNER | DESC_ATTR(ATTR_UNCACHED);
	}
	level0[0] = (uint64_t)(uintptr_t)level1 | DESC_TABLE;
	level0[ALIAS >> 39] = (uint64_t)(uintptr_t)level1_alias | DESC_TABLE;

	next_free = free_start();
}

/* SCTLR_EL1: what is RES1 without newer features, tag access (ATA), I, C and M. */
#define SCTLR_RES1 0x30d00800ull
#define SCTLR_M	   (1ull << 0)
#define SCTLR_C	   (1ull << 2)
#define SCTLR_I	   (1ull << 12)
#define SCTLR_ATA  (1ull << 43)

void mmu_on(void)
{
	uint64_t range = read_reg("id_aa64mmfr0_el1") & 0xf;
	/* T0SZ 16: 48 bits; write-back tables, inner shareable; TTBR1 unused; TBI0. */
	uint64_t tcr = 16 | 1ull << 8 | 1ull << 10 | 3ull << 12 | 16ull << 16 | 1ull << 23 |
		       2ull << 30 | (range > 5 ? 5 : range) << 32 | 1ull << 37;
	/* Normal memory write-back, Tagged (0xf0) only where that exists. */
	uint64_t mair = (has_mte ? 0xf0ull : 0xffull) << 8 | 0x44ull << 16;

	write_reg("mair_el1", mair);
	write_reg("tcr_el1", tcr);
	write_reg("ttbr0_el1", (uint64_t)(uintptr_t)level0);
	__asm__ volatile("dsb sy; isb; tlbi vmalle1; ic iallu; dsb sy; isb" ::: "memory");
	write_reg("sctlr_el1",
		  SCTLR_RES1 | SCTLR_M | SCTLR_C | SCTLR_I | (has_mte ? SCTLR_ATA : 0));
	isb();
}

/* Behind the image, and behind the device tree if that comes later and not at the very end. */
uint64_t free_start(void)
{
	uint64_t end = (uint64_t)(uintptr_t)_end, fdt_end = board.fdt.base + 0x200000;

	if (board.fdt.base >= end && fdt_end < board.ram.base + board.ram.size)
		end = fdt_end;
	return (end + 0xffff) & ~0xffffull;
}

uint64_t free_end(void)
{
	uint64_t end = board.ram.base + board.ram.size;

	return board.fdt.base >= free_start() ? board.fdt.base : end;
}

void *alloc(uint64_t size, uint64_t align)
{
	uint64_t at = (next_free + align - 1) & ~(align - 1);

	if (at + size > free_end())
		bail_out("out of memory: %lu bytes", size);
	next_free = at + size;
	return memset((void *)(uintptr_t)at, 0, size);
}

void *memset(void *p, int c, size_t n)
{
	uint8_t *b = p;

	if (!((uintptr_t)b & 7)) {
		uint64_t eight = (uint8_t)c * 0x0101010101010101ull;

		for (; n >= 8; n -= 8, b += 8)
			*(volatile uint64_t *)(void *)b = eight;
	}
	while (n--)
		*(volatile uint8_t *)b++ = (uint8_t)c;
	return p;
}

void *memcpy(void *to, const void *from, size_t n)
{
	volatile uint8_t *t = to;
	const volatile uint8_t *f = from;

	while (n--)
		*t++ = *f++;
	return to;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (uint8_t)*a - (uint8_t)*b;
}

size_t strlen(const char *s)
{
	const volatile char *p = s;

	while (*p)
		p++;
	return (size_t)((const char *)(uintptr_t)p - s);
}
