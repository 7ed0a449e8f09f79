/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/lazy-plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int lazy_plan_init(struct lazy_plan *plan, const struct snap_chain *chain, uint32_t bank,
		   struct err *err)
{
	const struct snap_info *info = snap_chain_info(chain);
	uint64_t pages = info->bank[bank].size / info->page_size, chunk = 0;

	memset(plan, 0, sizeof(*plan));
	plan->chain = chain;
	plan->bank = bank;
	plan->words = pages / SNAP_CHUNK_PAGES / 64 + 1;
	plan->todo = calloc(plan->words, sizeof(*plan->todo));
	if (!plan->todo)
		return err_set(err, -ENOMEM, "no memory for a lazy restore");
	for (; snap_chain_next(chain, bank, chunk, &chunk); chunk++) {
		plan->todo[chunk / 64] |= 1ull << chunk % 64;
		plan->missing += __builtin_popcountll(snap_chain_present(chain, bank, chunk));
	}
	return 0;
}

void lazy_plan_release(struct lazy_plan *plan)
{
	free(plan->todo);
	plan->todo = NULL;
}

bool lazy_plan_wants(const struct lazy_plan *plan, uint64_t page)
{
	uint64_t chunk = page / SNAP_CHUNK_PAGES;

	if (!(plan->todo[chunk / 64] >> chunk % 64 & 1))
		return false;
	return snap_chain_present(plan->chain, plan->bank, chunk) >> page % SNAP_CHUNK_PAGES & 1;
}

/* The first bit of todo at or after the cursor. */
static bool find(const struct lazy_plan *plan, uint64_t *chunk)
{
	uint64_t at = plan->cursor / 64, mask = ~0ull << plan->cursor % 64;

	for (; at < plan->words; at++, mask = ~0ull) {
		if (plan->todo[at] & mask) {
			*chunk = at * 64 + __builtin_ctzll(plan->todo[at] & mask);
			return true;
		}
	}
	return false;
}

bool lazy_plan_next(struct lazy_plan *plan, uint64_t *chunk)
{
	if (!plan->missing)
		return false;
	if (find(plan, chunk))
		return true;
	plan->cursor = 0;
	return find(plan, chunk);
}

void lazy_plan_done(struct lazy_plan *plan, uint64_t chunk, uint64_t present)
{
	plan->todo[chunk / 64] &= ~(1ull << chunk % 64);
	plan->cursor = chunk + 1;
	plan->missing -= __builtin_popcountll(present);
}
