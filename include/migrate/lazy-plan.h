/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which chunk of a bank is read next, and what a fault asks for: the books of migrate/lazy.c, without a VM. A chunk is
 * read once, as a whole: its checksum is over all of it.
 */
#ifndef LKVM_MIGRATE_LAZY_PLAN_H
#define LKVM_MIGRATE_LAZY_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "state/snapchain.h"

struct lazy_plan {
	const struct snap_chain *chain;
	uint32_t bank;
	uint64_t *todo;	  /* a bit a chunk: it has content and was not read */
	uint64_t words;	  /* of todo */
	uint64_t cursor;  /* chunk from which to look for the next one */
	uint64_t missing; /* pages with content that were not read yet */
};

/* Takes time with what the snapshot has of the bank, not with the bank's size. */
int lazy_plan_init(struct lazy_plan *plan, const struct snap_chain *chain, uint32_t bank,
		   struct err *err);
void lazy_plan_release(struct lazy_plan *plan);

/*
 * Whether the chunk of a page must be read for it. Else it was read, or the snapshot has nothing for that page. @page:
 * number within the bank, which has it.
 */
bool lazy_plan_wants(const struct lazy_plan *plan, uint64_t page);

/*
 * The chunk to read while nobody waits: the first unread one behind the last that was read, then from the start of the
 * bank. False when all are read.
 */
bool lazy_plan_next(struct lazy_plan *plan, uint64_t *chunk);

/* That chunk has been read, with so many pages. */
void lazy_plan_done(struct lazy_plan *plan, uint64_t chunk, uint64_t present);

#endif
