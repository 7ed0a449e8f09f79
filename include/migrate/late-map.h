/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Post-copy's book of a bank's pages, the same on both sides: which were announced to come after the switch-over, and which
 * of those are still to come. Pure code.
 *
 * A word stands for 64 pages, as a chunk of STREAM_PAGES does.
 */
#ifndef LKVM_MIGRATE_LATE_MAP_H
#define LKVM_MIGRATE_LATE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migrate/channel.h"
#include "util/err.h"

struct late_map {
	uint64_t pages, words;
	uint64_t *announced, *todo; /* a bit a page */
	_Atomic uint64_t left;	    /* bits of todo */
	uint64_t cursor;	    /* word from which to look for the next one */
	uint64_t told;		    /* receiving MISSING: words that were told of */
};

int late_map_init(struct late_map *map, uint64_t pages, struct err *err);
void late_map_release(struct late_map *map);

/* They come later. */
void late_map_add(struct late_map *map, uint64_t word, uint64_t bits);
bool late_map_announced(const struct late_map *map, uint64_t page);
bool late_map_wants(const struct late_map *map, uint64_t page);
/* Those of @mask that are still to come, and from now on are not. */
uint64_t late_map_take(struct late_map *map, uint64_t word, uint64_t mask);
/* What is to come while nobody asks: the first word of it from the cursor on, then from the start. */
bool late_map_next(struct late_map *map, uint64_t *word);

/* What is to come, as messages MISSING. */
int late_map_tell(const struct late_map *map, struct channel *ch, struct err *err);
/* One of these from the source; *@first and *@n: the words. */
int late_map_hear(struct late_map *map, struct rbuf *payload, uint64_t *first, size_t *n,
		  struct err *err);
/* Joined again: late_map_forget(), then what the destination says it lacks; no more than was announced. */
void late_map_forget(struct late_map *map);
int late_map_hear_again(struct late_map *map, struct rbuf *payload, struct err *err);

#endif
