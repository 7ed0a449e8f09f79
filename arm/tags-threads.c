/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "arm/tags.h"

/* What all threads of one tags_share() see. */
struct crew {
	const struct tag_share *share;
	atomic_uint_fast64_t next; /* number of the next piece */
	atomic_int result;	   /* the first error; whoever sets it owns @err */
	struct err *err;
};

struct hand {
	struct crew *crew;
	pthread_t thread;
	unsigned int number;
};

static void fail(struct crew *crew, int rc, const struct err *err)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&crew->result, &none, rc) && crew->err)
		*crew->err = *err;
}

static void take_pieces(struct crew *crew, unsigned int number)
{
	const struct tag_share *s = crew->share;
	uint64_t pieces = s->size / s->piece + (s->size % s->piece != 0);

	while (!atomic_load(&crew->result)) {
		uint64_t i = atomic_fetch_add(&crew->next, 1);
		struct err err = ERR_INIT;
		uint64_t off, len;
		int rc;

		if (i >= pieces)
			return;
		off = i * s->piece;
		len = s->size - off < s->piece ? s->size - off : s->piece;
		rc = s->work(s->ctx, number, off, len, &err);
		if (rc)
			fail(crew, rc, &err);
	}
}

static void *hand_main(void *arg)
{
	struct hand *hand = arg;
	const struct tag_share *s = hand->crew->share;
	struct err err = ERR_INIT;
	int rc = s->enter ? s->enter(s->ctx, hand->number, &err) : 0;

	if (rc) {
		fail(hand->crew, rc, &err);
		return NULL;
	}
	take_pieces(hand->crew, hand->number);
	if (s->leave)
		s->leave(s->ctx, hand->number);
	return NULL;
}

int tags_share(const struct tag_share *share, struct err *err)
{
	struct hand hands[TAGS_MAX_THREADS];
	struct crew crew = {.share = share, .err = err};
	unsigned int n = 1;

	if (!share->threads || share->threads > TAGS_MAX_THREADS || !share->piece)
		return err_set(err, -EINVAL, "%u threads for memory tags: 1 to %d can work at once",
			       share->threads, TAGS_MAX_THREADS);
	/* No more threads than pieces. One that cannot be made is not missed: the others take its pieces. */
	for (; n < share->threads && share->size && n <= (share->size - 1) / share->piece; n++) {
		hands[n].crew = &crew;
		hands[n].number = n;
		if (pthread_create(&hands[n].thread, NULL, hand_main, &hands[n]))
			break;
	}
	take_pieces(&crew, 0);
	while (--n)
		pthread_join(hands[n].thread, NULL);
	return atomic_load(&crew.result);
}

/* --- whole areas --- */

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
	struct tag_share share = {
		.threads = threads,
		.size = job->area->size,
		.piece = PIECE,
		.work = work,
		.ctx = job,
	};

	if (job->present && job->present->size != job->area->size)
		return err_set(err, -EINVAL, "memory tags: presence is of other memory");
	return tags_share(&share, err);
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
