/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "migrate/ram.h"
#include "util/share.h"
#include "vm/presence.h"

struct loader {
	struct mem *mem;
	const struct snap_chain *chain;
	const struct mem_bank *bank;
	uint32_t index;
	uint64_t chunk_bytes;
	size_t tag_bytes; /* of a page; 0 without tags */
};

/* Data goes straight to its place, tags after it: the guest does not run yet. */
static int load_piece(void *ctx, unsigned int thread, uint64_t off, uint64_t len, struct err *err)
{
	struct loader *l = ctx;
	const struct mem_sidecar *side = l->mem->sidecar;
	uint64_t gpa = l->bank->spec.gpa + off, chunk = off / l->chunk_bytes, present;
	size_t page = l->mem->page_size, start, end = 0;
	uint8_t *host, *tags;
	int rc;

	(void)thread;
	if (!snap_chain_present(l->chain, l->index, chunk))
		return 0;
	host = gpa_ptr(l->mem, gpa, len, MEM_WRITE);
	tags = l->tag_bytes ? malloc(SNAP_CHUNK_PAGES * l->tag_bytes) : NULL;
	if (!host || (l->tag_bytes && !tags)) {
		free(tags);
		return err_set(err, -ENOMEM, "no memory for tags");
	}
	rc = snap_chain_chunk(l->chain, l->index, chunk, host, tags, &present, err);
	while (!rc && tags && presence_run(&present, SNAP_CHUNK_PAGES, end, &start, &end))
		rc = side->put(side->ctx, host + start * page, gpa + start * page,
			       (end - start) * page, tags + start * l->tag_bytes, err);
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
		.tag_bytes = info->tags ? mem->page_size / 32 : 0,
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

		l.bank = &mem->banks[i];
		l.index = i;
		rc = work_share(&share, err);
	}
	return rc;
}
