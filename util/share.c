/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "util/share.h"

/* What all threads of one work_share() see. */
struct crew {
	const struct work_share *share;
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
	const struct work_share *s = crew->share;
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
	const struct work_share *s = hand->crew->share;
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

int work_share(const struct work_share *share, struct err *err)
{
	struct hand hands[SHARE_MAX_THREADS];
	struct crew crew = {.share = share, .err = err};
	unsigned int n = 1;

	if (!share->threads || share->threads > SHARE_MAX_THREADS || !share->piece)
		return err_set(err, -EINVAL, "%u threads: 1 to %d can work at once", share->threads,
			       SHARE_MAX_THREADS);
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
