/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which pages of guest memory may hold something. A page that is absent holds zero data and zero tags, and looking at
 * it, with a load, LDG or KVM_ARM_MTE_COPY_TAGS, would give it memory: who walks all of guest memory asks here first.
 *
 * What is said to be absent is absent as long as nobody writes; what is said to be present may hold nothing but zeros
 * (huge pages show more than was touched). While vCPUs run the answer is of the past at once.
 *
 * Where the answer comes from depends on what backs the memory:
 *   private anonymous         the page table: present or swapped. Nothing else knows.
 *   shared memfd (tmpfs)      the file: data or hole. The page table misses what was written through another mapping
 *                             and what is in swap.
 *   private mapping of memfd  both: copied pages are in the page table only, others in the file.
 *   hugetlbfs, shared         the page table of the one mapping there is; such a file knows no holes. A fork has the
 *                             mapping and, since Linux 6.0, an empty table: presence_ask().
 * Documentation/admin-guide/mm/pagemap.rst (PAGEMAP_SCAN, Linux 6.7, is used where the kernel has it), lseek(2).
 */
#ifndef LKVM_VM_PRESENCE_H
#define LKVM_VM_PRESENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

enum presence_source { PRESENCE_PAGEMAP = 1, PRESENCE_FILE = 2, PRESENCE_BOTH = 3 };

/* Constant after presence_init(): threads share one. */
struct presence {
	enum presence_source source;
	const uint8_t *base; /* the mapping, page-aligned */
	uint64_t size;	     /* bytes, whole pages */
	size_t page;	     /* the host's page size; one bit stands for that much */
	int pagemap;	     /* ours, or -1 */
	bool scan;	     /* PAGEMAP_SCAN works */
	int file; /* the caller's, open as long as this is used; its file offset moves. Or -1 */
	uint64_t file_offset;
};

/* @file and @file_offset (what base[0] shows) count for PRESENCE_FILE and PRESENCE_BOTH. */
int presence_init(struct presence *p, enum presence_source source, const void *base, uint64_t size,
		  int file, uint64_t file_offset, struct err *err);
void presence_release(struct presence *p);

/*
 * Asks another process's page table, which has the same mapping at the same address: @pagemap is its /proc/PID/pagemap, and
 * stays the caller's. For one whose process is gone every page is absent, or an error.
 */
int presence_ask(struct presence *p, int pagemap, struct err *err);

/* uint64_t words of a bitmap for @len bytes of memory. */
static inline size_t presence_words(const struct presence *p, uint64_t len)
{
	return (len / p->page + 63) / 64;
}

/*
 * Bit i of @bits is set if the page at @off + i * page may hold something; bits behind the last page are 0.
 * @off and @len are whole pages within the mapping, else -EINVAL.
 */
int presence_get(const struct presence *p, uint64_t off, uint64_t len, uint64_t *bits,
		 struct err *err);

/*
 * The next run of set bits at or after bit @from, of @nbits: [*start, *end). Returns false when there is none.
 * The loop is `for (e = 0; presence_run(bits, n, e, &s, &e);)`.
 */
bool presence_run(const uint64_t *bits, size_t nbits, size_t from, size_t *start, size_t *end);

#endif
