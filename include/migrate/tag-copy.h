/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tags of all guest memory at one moment, collected beforehand: for a process that has the memory but cannot ask KVM for
 * its tags, as the saving child of migrate/snapshot.c with --tag-walker ioctl. 1/32 of the memory that is present.
 */
#ifndef LKVM_MIGRATE_TAG_COPY_H
#define LKVM_MIGRATE_TAG_COPY_H

#include "util/err.h"
#include "vm/memory.h"

struct tag_copy {
	struct mem_sidecar sidecar; /* get() gives what was collected; put() fails */
	const struct mem *mem;
	uint8_t *bank[MEM_MAX_BANKS];
};

/* Asks mem->sidecar for each page that may hold something. Nobody writes to @mem meanwhile. @copy stays where it is. */
int tag_copy_init(struct tag_copy *copy, const struct mem *mem, struct err *err);
void tag_copy_release(struct tag_copy *copy);

#endif
