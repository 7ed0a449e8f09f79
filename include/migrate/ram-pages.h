/* SPDX-License-Identifier: GPL-2.0-only */
/* The pages of a chunk, 64 neighbours, and their tags: what saving and sending have in common. */
#ifndef LKVM_MIGRATE_RAM_PAGES_H
#define LKVM_MIGRATE_RAM_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "vm/memory.h"

#define RAM_CHUNK_PAGES 64

bool ram_bytes_zero(const uint8_t *p, size_t size); /* size: a multiple of 8, at least 32 */

/* Tags of the pages in @here, packed one after the other: a run of neighbours is one call. @host and @gpa: the chunk's. */
int ram_collect_tags(const struct mem *mem, uint8_t *host, uint64_t gpa, uint64_t here,
		     uint8_t *out, struct err *err);

/* Moves the tags of the pages in @keep together; @here is what they were collected for. */
void ram_squeeze_tags(uint8_t *tags, size_t tag_bytes, uint64_t here, uint64_t keep);

/* Pages of @here with neither data nor tags. @tag_bytes of a page, 0 without tags. */
uint64_t ram_find_zero(const uint8_t *host, size_t page, uint64_t here, const uint8_t *tags,
		       size_t tag_bytes);

#endif
