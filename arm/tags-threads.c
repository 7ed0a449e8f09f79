/* SPDX-License-Identifier: GPL-2.0-only */
/* The tags of whole areas, by several threads. */
#include <errno.h>
#include <string.h>

#include "arm/tags.h"
#include "util/share.h"

#define PIECE	   (2 << 20)
#define PIECE_BITS (PIECE / 4096)

struct area_job {
	const struct tag_walker *w;
	const struct tag_area *area;
	const struct presence *present;
	const uint8_t *in; /* one of these */
	uint8_t *out;
};

/* One bit a page, all set where nobody can say. */
static int look(const struct area_job *job, uint64_t off, uint64_t len, uint64_t *bits,
		struct err *err)
{
	if (job->present)
		return presence_get(job->present, off, len, bits, err);
	memset(bits, 0xff, PIECE_BITS / 8);
	return 0;
}

static int read_piece(void *ctx, unsigned int thread, uint64_t off, uint64_t len, struct err *err)
{
	const struct area_job *job = ctx;
	size_t page = job->w->page, start, end = 0;
	uint64_t bits[PIECE_BITS / 64];
	int rc = look(job, off, len, bits, err);

	(void)thread;
	if (rc)
		return rc;
	memset(job->out + tagcode_packed_size(off), 0, tagcode_packed_size(len));
	while (!rc && presence_run(bits, len / page, end, &start, &end)) {
		uint64_t at = off + start * page;

		rc = tags_read(job->w, job->area, at, (end - start) * page,
			       job->out + tagcode_packed_size(at), err);
	}
	return rc;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return !p[0] && !memcmp(p, p + 1, len - 1);
}

static int write_piece(void *ctx, unsigned int thread, uint64_t off, uint64_t len, struct err *err)
{
	const struct area_job *job = ctx;
	size_t page = job->w->page, bytes = tagcode_packed_size(page), start, end = 0;
	const uint8_t *in = job->in + tagcode_packed_size(off);
	uint64_t bits[PIECE_BITS / 64];
	int rc = look(job, off, len, bits, err);

	(void)thread;
	if (rc)
		return rc;
	for (size_t i = 0; i < len / page; i++)
		if (!(bits[i / 64] >> i % 64 & 1) && !all_zero(in + i * bytes, bytes))
			bits[i / 64] |= 1ull << i % 64;
	while (!rc && presence_run(bits, len / page, end, &start, &end))
		rc = tags_write(job->w, job->area, off + start * page, (end - start) * page,
				in + start * bytes, err);
	return rc;
}

static int share_area(struct area_job *job, unsigned int threads,
		      int (*work)(void *, unsigned int, uint64_t, uint64_t, struct err *),
		      struct err *err)
{
	struct work_share share = {
		.threads = threads,
		.size = job->area->size,
		.piece = PIECE,
		.work = work,
		.ctx = job,
	};

	if (job->present && job->present->size != job->area->size)
		return err_set(err, -EINVAL, "memory tags: presence is of other memory");
	return work_share(&share, err);
}

int tags_read_area(const struct tag_walker *w, const struct tag_area *a,
		   const struct presence *present, unsigned int threads, uint8_t *packed,
		   struct err *err)
{
	struct area_job job = {.w = w, .area = a, .present = present, .out = packed};

	return share_area(&job, threads, read_piece, err);
}

int tags_write_area(const struct tag_walker *w, const struct tag_area *a,
		    const struct presence *present, unsigned int threads, const uint8_t *packed,
		    struct err *err)
{
	struct area_job job = {.w = w, .area = a, .present = present, .in = packed};

	return share_area(&job, threads, write_piece, err);
}
