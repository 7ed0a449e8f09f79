/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/late-map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int late_map_init(struct late_map *map, uint64_t pages, struct err *err)
{
	memset(map, 0, sizeof(*map));
	map->pages = pages;
	map->words = (pages + 63) / 64;
	map->announced = calloc(map->words, 8);
	map->todo = calloc(map->words, 8);
	if (map->announced && map->todo)
		return 0;
	late_map_release(map);
	return err_set(err, -ENOMEM, "no memory for post-copy");
}

void late_map_release(struct late_map *map)
{
	free(map->announced);
	free(map->todo);
	map->announced = map->todo = NULL;
	map->left = 0;
}

void late_map_add(struct late_map *map, uint64_t word, uint64_t bits)
{
	map->left += (uint64_t)__builtin_popcountll(bits & ~map->todo[word]);
	map->announced[word] |= bits;
	map->todo[word] |= bits;
}

static bool has(const uint64_t *bits, uint64_t page)
{
	return bits[page / 64] >> page % 64 & 1;
}

bool late_map_announced(const struct late_map *map, uint64_t page)
{
	return has(map->announced, page);
}

bool late_map_wants(const struct late_map *map, uint64_t page)
{
	return has(map->todo, page);
}

uint64_t late_map_take(struct late_map *map, uint64_t word, uint64_t mask)
{
	uint64_t bits = map->todo[word] & mask;

	map->todo[word] &= ~bits;
	map->left -= (uint64_t)__builtin_popcountll(bits);
	return bits;
}

bool late_map_next(struct late_map *map, uint64_t *word)
{
	if (!map->left)
		return false;
	while (!map->todo[map->cursor % map->words])
		map->cursor = map->cursor % map->words + 1;
	*word = map->cursor %= map->words;
	return true;
}

/* Zeroes at either end are not told; a few in between cost less than another message. */
int late_map_tell(const struct late_map *map, struct channel *ch, struct err *err)
{
	uint64_t at = 0;
	int rc = 0;

	while (!rc) {
		size_t n;

		while (at < map->words && !map->todo[at])
			at++;
		if (at == map->words)
			break;
		n = map->words - at < STREAM_MISSING_WORDS ? map->words - at : STREAM_MISSING_WORDS;
		while (!map->todo[at + n - 1])
			n--;
		stream_missing_encode(channel_begin(ch, STREAM_MISSING), at, map->todo + at, n);
		rc = channel_send(ch, err);
		at += n;
	}
	return rc;
}

static int hear(struct late_map *map, struct rbuf *payload, uint64_t *first, size_t *n,
		struct err *err)
{
	int rc = stream_missing_decode(payload, map->pages, map->told, first, n, err);

	if (!rc)
		map->told = *first + *n;
	return rc;
}

int late_map_hear(struct late_map *map, struct rbuf *payload, uint64_t *first, size_t *n,
		  struct err *err)
{
	int rc = hear(map, payload, first, n, err);

	for (size_t i = 0; !rc && i < *n; i++)
		late_map_add(map, *first + i, rbuf_u64(payload));
	return rc;
}

void late_map_forget(struct late_map *map)
{
	memset(map->todo, 0, map->words * 8);
	map->left = map->cursor = map->told = 0;
}

int late_map_hear_again(struct late_map *map, struct rbuf *payload, struct err *err)
{
	uint64_t first;
	size_t n;
	int rc = hear(map, payload, &first, &n, err);

	for (size_t i = 0; !rc && i < n; i++) {
		uint64_t bits = rbuf_u64(payload);

		if (bits & ~map->announced[first + i])
			return err_set(err, -EBADMSG,
				       "the destination lacks pages that it never was to get late");
		late_map_add(map, first + i, bits);
	}
	return rc;
}
