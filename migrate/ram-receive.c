/* SPDX-License-Identifier: GPL-2.0-only */
/* The destination's side: pages and their tags to their places. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "migrate/ram-move.h"
#include "migrate/ram-pages.h"
#include "vm/memory-lazy.h"
#include "vm/presence.h"

struct ram_receiver {
	struct mem *mem;
	struct snap_info geometry;
	size_t tag_bytes; /* of a page; 0 without tags */
	uint8_t *tags;	  /* of a chunk */
	uint8_t *scratch; /* a chunk that was packed */
};

int ram_geometry_check(const struct mem *mem, const struct snap_info *g, struct err *err)
{
	if (g->page_size != mem->page_size)
		return err_set(err, -EOPNOTSUPP,
			       "the source has pages of %u bytes, this host has %zu", g->page_size,
			       mem->page_size);
	if (g->nbanks != mem->n || g->tags != (mem->sidecar != NULL))
		return err_set(err, -EBADMSG,
			       "the source's memory is not that of the machine it describes");
	for (uint32_t i = 0; i < mem->n; i++) {
		const struct mem_spec *spec = &mem->banks[i].spec;

		if (strcmp(g->bank[i].name, spec->name) || g->bank[i].gpa != spec->gpa ||
		    g->bank[i].size != spec->size)
			return err_set(
				err, -EBADMSG,
				"the source's memory bank %u is %s, 0x%llx bytes at 0x%llx, "
				"but %s, 0x%llx bytes at 0x%llx, in the machine it describes",
				i, g->bank[i].name, (unsigned long long)g->bank[i].size,
				(unsigned long long)g->bank[i].gpa, spec->name,
				(unsigned long long)spec->size, (unsigned long long)spec->gpa);
	}
	return 0;
}

int ram_receiver_open(struct mem *mem, const struct snap_info *geometry, struct ram_receiver **out,
		      struct err *err)
{
	struct ram_receiver *r = calloc(1, sizeof(*r));

	if (r) {
		r->mem = mem;
		r->geometry = *geometry;
		r->tag_bytes = geometry->tags ? mem->page_size / 32 : 0;
		r->tags = calloc(RAM_CHUNK_PAGES, r->tag_bytes + 1);
		r->scratch = malloc(RAM_CHUNK_PAGES * mem->page_size);
	}
	if (!r || !r->tags || !r->scratch) {
		ram_receiver_close(r);
		return err_set(err, -ENOMEM, "no memory for a migration");
	}
	*out = r;
	return 0;
}

void ram_receiver_close(struct ram_receiver *r)
{
	if (!r)
		return;
	free(r->tags);
	free(r->scratch);
	free(r);
}

/* @data and @tags are those of the run's pages; NULL: zeros. */
static int place(struct ram_receiver *r, uint32_t bank, uint64_t first, uint64_t pages,
		 const uint8_t *data, const uint8_t *tags, struct err *err)
{
	const struct mem_spec *spec = &r->mem->banks[bank].spec;
	const struct mem_sidecar *side = r->mem->sidecar;
	size_t page = r->mem->page_size;
	uint64_t gpa = spec->gpa + first * page, len = pages * page;
	uint8_t *host = mem_lazy_ptr(r->mem, bank, first * page, len);

	if (!host)
		host = gpa_ptr(r->mem, gpa, len, MEM_WRITE);

	if (!host)
		return err_set(err, -EFAULT, "bank %s ends before it should", spec->name);
	if (data)
		memcpy(host, data, len);
	else
		memset(host, 0, len);
	return side ? side->put(side->ctx, host, gpa, len, tags, err) : 0;
}

static int decode(struct ram_receiver *r, struct rbuf *payload, struct stream_pages *p,
		  const uint8_t **data, struct err *err)
{
	int rc = stream_pages_decode(payload, &r->geometry, p, err);

	if (!rc)
		rc = stream_tags_decode(p, &r->geometry, r->tags, err);
	return rc ? rc : stream_data_decode(p, &r->geometry, r->scratch, data, err);
}

static int place_here(struct ram_receiver *r, const struct stream_pages *p, const uint8_t *data,
		      struct err *err)
{
	size_t page = r->mem->page_size, start, end = 0, n = 0;
	int rc = 0;

	while (!rc && presence_run(&p->here, RAM_CHUNK_PAGES, end, &start, &end)) {
		rc = place(r, p->bank, p->chunk * RAM_CHUNK_PAGES + start, end - start,
			   data + n * page, r->tags + n * r->tag_bytes, err);
		n += end - start;
	}
	return rc;
}

int ram_receiver_pages(struct ram_receiver *r, struct rbuf *payload, struct err *err)
{
	struct stream_pages p;
	const uint8_t *data;
	size_t start, end = 0;
	int rc = decode(r, payload, &p, &data, err);

	if (rc)
		return rc;
	rc = place_here(r, &p, data, err);
	if (p.zero)
		memset(r->tags, 0, RAM_CHUNK_PAGES * r->tag_bytes);
	while (!rc && presence_run(&p.zero, RAM_CHUNK_PAGES, end, &start, &end))
		rc = place(r, p.bank, p.chunk * RAM_CHUNK_PAGES + start, end - start, NULL, r->tags,
			   err);
	return rc;
}

int ram_receiver_late(struct ram_receiver *r, unsigned int bank, struct late_map *map,
		      struct rbuf *payload, struct stream_pages *p, struct err *err)
{
	const uint8_t *data;
	int rc = decode(r, payload, p, &data, err);

	if (rc)
		return rc;
	if (p->bank != bank || (p->here | p->zero) & ~map->todo[p->chunk])
		return err_set(err, -EBADMSG, "a page came that was not to come");
	rc = place_here(r, p, data, err);
	if (!rc)
		(void)late_map_take(map, p->chunk, p->here | p->zero);
	return rc;
}
