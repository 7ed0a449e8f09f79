/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/tag-copy.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vm/presence.h"

#define BYTES_A_TAG_BYTE 32 /* vm/memory.h */
#define STEP_PAGES	 4096

static int get_tags(void *ctx, uint8_t *host, uint64_t gpa, uint64_t len, uint8_t *out,
		    struct err *err)
{
	const struct tag_copy *copy = ctx;

	(void)host;
	for (unsigned int i = 0; i < copy->mem->n; i++) {
		const struct mem_spec *spec = &copy->mem->banks[i].spec;

		if (gpa < spec->gpa || gpa - spec->gpa >= spec->size)
			continue;
		memcpy(out, copy->bank[i] + (gpa - spec->gpa) / BYTES_A_TAG_BYTE,
		       len / BYTES_A_TAG_BYTE);
		return 0;
	}
	return err_set(err, -EFAULT, "no tags were collected at 0x%llx", (unsigned long long)gpa);
}

static int put_tags(void *ctx, uint8_t *host, uint64_t gpa, uint64_t len, const uint8_t *in,
		    struct err *err)
{
	(void)ctx, (void)host, (void)len, (void)in;
	return err_set(err, -EOPNOTSUPP, "a copy of tags cannot be written, at 0x%llx",
		       (unsigned long long)gpa);
}

/* Up to STEP_PAGES pages from @off on. */
static int collect_step(const struct mem *mem, const struct mem_bank *bank,
			const struct presence *presence, uint64_t off, uint8_t *to, struct err *err)
{
	const struct mem_sidecar *side = mem->sidecar;
	uint64_t left = bank->spec.size - off, gpa = bank->spec.gpa + off;
	uint64_t len = left < STEP_PAGES * mem->page_size ? left : STEP_PAGES * mem->page_size;
	uint8_t *host = gpa_ptr((struct mem *)mem, gpa, len, MEM_READ);
	uint64_t bits[STEP_PAGES / 64];
	size_t page = mem->page_size, start, end = 0;
	int rc = presence_get(presence, off, len, bits, err);

	if (!rc && !host)
		rc = err_set(err, -EFAULT, "bank %s ends before it should", bank->spec.name);
	while (!rc && presence_run(bits, len / page, end, &start, &end))
		rc = side->get(side->ctx, host + start * page, gpa + start * page,
			       (end - start) * page, to + (off + start * page) / BYTES_A_TAG_BYTE,
			       err);
	return rc;
}

static int collect_bank(const struct mem *mem, const struct mem_bank *bank, uint8_t *to,
			struct err *err)
{
	struct presence presence;
	int rc = mem_presence(mem, bank, &presence, err);

	if (rc)
		return rc;
	for (uint64_t off = 0; off < bank->spec.size && !rc; off += STEP_PAGES * mem->page_size)
		rc = collect_step(mem, bank, &presence, off, to, err);
	presence_release(&presence);
	return rc;
}

int tag_copy_init(struct tag_copy *copy, const struct mem *mem, struct err *err)
{
	int rc = 0;

	memset(copy, 0, sizeof(*copy));
	copy->mem = mem;
	copy->sidecar = (struct mem_sidecar){.get = get_tags, .put = put_tags, .ctx = copy};
	for (unsigned int i = 0; i < mem->n && !rc; i++) {
		/* Tags of pages that are absent take no memory here either. */
		void *room = mmap(NULL, mem->banks[i].spec.size / BYTES_A_TAG_BYTE,
				  PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (room == MAP_FAILED) {
			rc = err_sys(err, -errno, "no memory for the tags of bank %s",
				     mem->banks[i].spec.name);
			break;
		}
		copy->bank[i] = room;
		rc = collect_bank(mem, &mem->banks[i], copy->bank[i], err);
	}
	if (rc)
		tag_copy_release(copy);
	return rc;
}

void tag_copy_release(struct tag_copy *copy)
{
	for (unsigned int i = 0; copy->mem && i < copy->mem->n; i++)
		if (copy->bank[i])
			munmap(copy->bank[i], copy->mem->banks[i].spec.size / BYTES_A_TAG_BYTE);
	memset(copy, 0, sizeof(*copy));
}
