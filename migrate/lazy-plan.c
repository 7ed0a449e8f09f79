/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/lazy-plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_read(const struct lazy_plan *plan, uint64_t chunk)
{
	return plan->read[chunk / 64] >> chunk % 64 & 1;
}

int lazy_plan_init(struct lazy_plan *plan, const struct snap_chain *chain, uint32_t bank,
		   struct err *err)
{
	const struct snap_info *info = snap_chain_info(chain);
	uint64_t pages = info->bank[bank].size / info->page_size, chunk = 0;

	memset(plan, 0, sizeof(*plan));
	plan->chain = chain;
	plan->bank = bank;
	plan->read = calloc(pages / SNAP_CHUNK_PAGES / 64 + 1, sizeof(*plan->read));
	if (!plan->read)
		return err_set(err, -ENOMEM, "no memory for a lazy restore");
	for (; snap_chain_next(chain, bank, chunk, &chunk); chunk++)
		plan->missing += __builtin_popcountll(snap_chain_present(chain, bank, chunk));
	return 0;
}

void lazy_plan_release(struct lazy_plan *plan)
{
	free(plan->read);
	plan->read = NULL;
}

enum lazy_need lazy_plan_fault(const struct lazy_plan *plan, uint64_t page)
{
	uint64_t chunk = page / SNAP_CHUNK_PAGES;
	uint64_t present = snap_chain_present(plan->chain, plan->bank, chunk);

	if (!(present >> page % SNAP_CHUNK_PAGES & 1))
		return LAZY_ZERO;
	return is_read(plan, chunk) ? LAZY_SHOW : LAZY_READ;
}

bool lazy_plan_next(struct lazy_plan *plan, uint64_t *chunk)
{
	if (!plan->missing)
		return false;
	/* From the cursor to the end, then all of it. */
	for (unsigned int round = 0; round < 2; round++) {
		for (uint64_t c = plan->cursor; snap_chain_next(plan->chain, plan->bank, c, &c);
		     c++) {
			if (!is_read(plan, c)) {
				*chunk = plan->cursor = c;
				return true;
			}
		}
		plan->cursor = 0;
	}
	return false;
}

void lazy_plan_done(struct lazy_plan *plan, uint64_t chunk, uint64_t present)
{
	plan->read[chunk / 64] |= 1ull << chunk % 64;
	plan->cursor = chunk + 1;
	plan->missing -= __builtin_popcountll(present);
}
