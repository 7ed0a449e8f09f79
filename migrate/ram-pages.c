/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/ram-pages.h"

#include <string.h>

#include "vm/presence.h"

/* The first words tell most pages; comparing a page with itself some words on tells the rest. */
bool ram_bytes_zero(const uint8_t *p, size_t size)
{
	uint64_t head[4];

	memcpy(head, p, sizeof(head));
	if (head[0] | head[1] | head[2] | head[3])
		return false;
	return !memcmp(p, p + sizeof(head), size - sizeof(head));
}

int ram_collect_tags(const struct mem *mem, uint8_t *host, uint64_t gpa, uint64_t here,
		     uint8_t *out, struct err *err)
{
	const struct mem_sidecar *side = mem->sidecar;
	size_t page = mem->page_size, start, end = 0;

	while (presence_run(&here, RAM_CHUNK_PAGES, end, &start, &end)) {
		int rc = side->get(side->ctx, host + start * page, gpa + start * page,
				   (end - start) * page, out, err);

		if (rc)
			return rc;
		out += (end - start) * page / 32;
	}
	return 0;
}

void ram_squeeze_tags(uint8_t *tags, size_t tag_bytes, uint64_t here, uint64_t keep)
{
	size_t from = 0, to = 0;

	for (unsigned int i = 0; i < RAM_CHUNK_PAGES; i++) {
		if (!(here >> i & 1))
			continue;
		if (keep >> i & 1 && from != to)
			memmove(tags + to * tag_bytes, tags + from * tag_bytes, tag_bytes);
		to += keep >> i & 1;
		from++;
	}
}

uint64_t ram_find_zero(const uint8_t *host, size_t page, uint64_t here, const uint8_t *tags,
		       size_t tag_bytes)
{
	uint64_t zero = 0;
	size_t n = 0;

	for (unsigned int i = 0; i < RAM_CHUNK_PAGES; i++) {
		if (!(here >> i & 1))
			continue;
		if (ram_bytes_zero(host + i * page, page) &&
		    (!tag_bytes || ram_bytes_zero(tags + n * tag_bytes, tag_bytes)))
			zero |= 1ull << i;
		n++;
	}
	return zero;
}
