/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory, page and tags together, to a snapshot file and back. Whatever bank the machine has is saved: RAM, flash,
 * stolen time. Pages that nobody touched are neither read nor written, on either side.
 */
#ifndef LKVM_MIGRATE_RAM_H
#define LKVM_MIGRATE_RAM_H

#include <stdbool.h>
#include <stdint.h>

#include "state/snapchain.h"
#include "state/snapfile.h"
#include "util/err.h"
#include "vm/memory.h"

struct ram_save {
	struct mem *mem; /* nobody writes to it meanwhile */
	struct snap_writer *writer;
	const struct snap_chain *parent; /* only what differs from it is written; or NULL */
	unsigned int threads;		 /* at least 1 */
	uint64_t rate;			 /* bytes of memory a second, 0: no limit */
	bool drop_tags;			 /* for tests: what a saver that knows no tags would do */
	/* Called now and then by one thread at a time with bytes of memory seen and in all; nonzero stops with that. */
	int (*progress)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
};

/* The banks as a snapshot names them. */
void ram_describe(const struct mem *mem, struct snap_info *info);

/* -EINVAL: the parent is of another machine. */
int ram_save(const struct ram_save *save, struct err *err);

/*
 * One chunk, data and tags, to where @host shows it: gpa_ptr() of it, or mem_lazy_ptr(). @tags: room for the packed tags of a
 * chunk, not NULL. @present: the pages that have content; nothing is stored for the others. The memory is fresh: zero, tags too.
 */
int ram_load_chunk(const struct mem *mem, const struct snap_chain *chain, uint32_t bank,
		   uint64_t chunk, uint8_t *host, uint8_t *tags, uint64_t *present,
		   struct err *err);

/*
 * Into the banks of the machine that was built, which are empty. Those of MEM_LAZY are only compared: migrate/lazy.h fills
 * them. -EBADMSG when a bank is not in the file with that shape.
 */
int ram_load(struct mem *mem, const struct snap_chain *chain, unsigned int threads,
	     struct err *err);

#endif
