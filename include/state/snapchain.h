/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A snapshot file and those it builds on (`--base`), newest first: what the memory was at the moment of the newest.
 * Parents are looked for in the folder of the file that names them, and must have the uuid that it names.
 */
#ifndef LKVM_STATE_SNAPCHAIN_H
#define LKVM_STATE_SNAPCHAIN_H

#include <stdint.h>

#include "state/snapfile.h"

#define SNAP_CHAIN_MAX 256

struct snap_chain {
	struct snap_reader *reader[SNAP_CHAIN_MAX]; /* newest first */
	int fd[SNAP_CHAIN_MAX];
	unsigned int n;
};

/*
 * Opens @path and, as long as a file names a parent, every snapshot in the same folder until the one with that uuid is
 * found. Banks, page size and tags must be the same throughout. -ENOENT names the uuid that is missing, -ELOOP a circle.
 */
int snap_chain_open(const char *path, struct snap_chain *chain, struct err *err);
void snap_chain_close(struct snap_chain *chain);
const struct snap_info *snap_chain_info(const struct snap_chain *chain); /* of the newest */

/* Which file of the chain @path is, 0 the newest; -1: none. */
int snap_chain_place(const struct snap_chain *chain, const char *path);

/*
 * Whether a file that is to get the name @path can build on the chain that was opened as @base: in the same folder, and not
 * in the place of one of the chain, which would be gone then. -EINVAL if not.
 */
int snap_chain_check_child(const struct snap_chain *chain, const char *base, const char *path,
			   struct err *err);

/* Whether they are of machines with the same memory: only then can one build on the other. */
bool snap_same_shape(const struct snap_info *a, const struct snap_info *b);

/*
 * One chunk as the whole chain has it. Bit i of *@present says that page i was read to @pages + i * page_size, with its
 * packed tags at @tags + i * page_size / 32 (@tags may be NULL); the others are absent, and nothing is stored for them.
 * Every checksum of what was read held. Several threads may call it.
 */
int snap_chain_chunk(const struct snap_chain *chain, uint32_t bank, uint64_t chunk, uint8_t *pages,
		     uint8_t *tags, uint64_t *present, struct err *err);

/* The same question without reading: which pages have content somewhere in the chain. */
uint64_t snap_chain_present(const struct snap_chain *chain, uint32_t bank, uint64_t chunk);

/* The first chunk of @bank at or after @from of which snap_chain_present() is not 0. False when there is none. */
bool snap_chain_next(const struct snap_chain *chain, uint32_t bank, uint64_t from, uint64_t *chunk);

#endif
