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
	uint64_t *read;	  /* a bit a chunk */
	uint64_t cursor;  /* where to look for the next one */
	uint64_t missing; /* pages with content that were not read yet */
};

/* What the page of a fault needs. */
enum lazy_need {
	LAZY_READ, /* its chunk is to be read first */
	LAZY_SHOW, /* it is there */
	LAZY_ZERO, /* the snapshot has nothing for it */
};

/* Takes time with what the snapshot has of the bank, not with the bank's size. */
int lazy_plan_init(struct lazy_plan *plan, const struct snap_chain *chain, uint32_t bank,
		   struct err *err);
void lazy_plan_release(struct lazy_plan *plan);

/* @page: number within the bank, which has it. */
enum lazy_need lazy_plan_fault(const struct lazy_plan *plan, uint64_t page);

/*
 * The chunk to read while nobody waits: the first unread one behind the last that was read, then from the start of the
 * bank. False when all are read.
 */
bool lazy_plan_next(struct lazy_plan *plan, uint64_t *chunk);

/* That chunk has been read, with so many pages. */
void lazy_plan_done(struct lazy_plan *plan, uint64_t chunk, uint64_t present);

#endif
