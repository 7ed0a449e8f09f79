/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "migrate/ram-pages.h"
#include "migrate/ram.h"
#include "util/share.h"
#include "vm/presence.h"

struct loader {
	struct mem *mem;
	const struct snap_chain *chain;
	const struct mem_bank *bank;
	uint32_t index;
	uint64_t chunk_bytes;
};

/* Of those that are present. Memory that nobody had before has the tag 0 throughout, and need not be told so. */
static uint64_t pages_with_tags(const uint8_t *tags, size_t tag_bytes, uint64_t present)
{
	uint64_t tagged = 0;

	for (unsigned int i = 0; i < SNAP_CHUNK_PAGES; i++)
		if (present >> i & 1 && !ram_bytes_zero(tags + i * tag_bytes, tag_bytes))
			tagged |= 1ull << i;
	return tagged;
}

int ram_load_chunk(const struct mem *mem, const struct snap_chain *chain, uint32_t bank,
		   uint64_t chunk, uint8_t *host, uint8_t *tags, uint64_t *present, struct err *err)
{
	const struct mem_sidecar *side = mem->sidecar;
	size_t page = mem->page_size, start, end = 0;
	uint64_t gpa = mem->banks[bank].spec.gpa + chunk * SNAP_CHUNK_PAGES * page, tagged;
	int rc = snap_chain_chunk(chain, bank, chunk, host, side ? tags : NULL, present, err);

	if (rc || !side)
		return rc;
	tagged = pages_with_tags(tags, page / 32, *present);
	while (!rc && presence_run(&tagged, SNAP_CHUNK_PAGES, end, &start, &end))
		rc = side->put(side->ctx, host + start * page, gpa + start * page,
			       (end - start) * page, tags + start * page / 32, err);
	return rc;
}

/* Data goes straight to its place, tags after it: the guest does not run yet. */
static int load_piece(void *ctx, unsigned int thread, uint64_t off, uint64_t len, struct err *err)
{
	struct loader *l = ctx;
	uint64_t chunk = off / l->chunk_bytes, present;
	uint8_t *host, *tags;
	int rc;

	(void)thread;
	if (!snap_chain_present(l->chain, l->index, chunk))
		return 0;
	host = gpa_ptr(l->mem, l->bank->spec.gpa + off, len, MEM_WRITE);
	tags = malloc(l->chunk_bytes / 32);
	if (host && tags)
		rc = ram_load_chunk(l->mem, l->chain, l->index, chunk, host, tags, &present, err);
	else
		rc = err_set(err, -ENOMEM, "no memory for tags");
	free(tags);
	return rc;
}

static int check_bank(const struct mem_bank *bank, const struct snap_info *info, uint32_t index,
		      struct err *err)
{
	const struct snap_bank *saved = &info->bank[index];

	if (!strcmp(saved->name, bank->spec.name) && saved->gpa == bank->spec.gpa &&
	    saved->size == bank->spec.size)
		return 0;
	return err_set(
		err, -EBADMSG,
		"memory bank %u is %.16s, 0x%llx bytes at 0x%llx, in the snapshot, but %s, 0x%llx "
		"bytes at 0x%llx, in the machine it describes",
		index, saved->name, (unsigned long long)saved->size, (unsigned long long)saved->gpa,
		bank->spec.name, (unsigned long long)bank->spec.size,
		(unsigned long long)bank->spec.gpa);
}

int ram_load(struct mem *mem, const struct snap_chain *chain, unsigned int threads, struct err *err)
{
	const struct snap_info *info = snap_chain_info(chain);
	struct loader l = {
		.mem = mem,
		.chain = chain,
		.chunk_bytes = SNAP_CHUNK_PAGES * mem->page_size,
	};
	int rc = 0;

	if (info->page_size != mem->page_size)
		return err_set(err, -EOPNOTSUPP, "saved with pages of %u bytes, this host has %zu",
			       info->page_size, mem->page_size);
	if (info->nbanks != mem->n || info->tags != (mem->sidecar != NULL))
		return err_set(err, -EBADMSG,
			       "the snapshot's memory is not that of the machine it describes");
	for (uint32_t i = 0; i < mem->n && !rc; i++)
		rc = check_bank(&mem->banks[i], info, i, err);
	for (uint32_t i = 0; i < mem->n && !rc; i++) {
		struct work_share share = {
			.threads = threads,
			.size = mem->banks[i].spec.size,
			.piece = l.chunk_bytes,
			.work = load_piece,
			.ctx = &l,
		};

		if (mem->banks[i].spec.backing == MEM_LAZY)
			continue;
		l.bank = &mem->banks[i];
		l.index = i;
		rc = work_share(&share, err);
	}
	return rc;
}
