/* SPDX-License-Identifier: GPL-2.0-only */
/* The source while the guest runs: rounds of what it writes, and when to stop it. */
#include <errno.h>

#include "migrate/source-job.h"
#include "util/clock.h"
#include "vm/memory-log.h"

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull
#define FEW_PAGES 256		  /* too few for a rate */
#define SWITCH_NS (5 * NS_PER_MS) /* what a switch-over takes besides pages */
#define SHORT_NS  (3 * SWITCH_NS) /* less is not worth another round */

/* ---- on the loop's thread ---- */

static int do_log(struct source_job *job, struct err *err)
{
	int rc;

	vm_pause(job->vm);
	rc = mem_log_start(&job->vm->mem, err);
	vm_resume(job->vm);
	job->log_on = !rc;
	return rc;
}

static int do_throttle(struct source_job *job, struct err *err)
{
	(void)err;
	throttle_set(&job->throttle, job->throttled);
	return 0;
}

/* ---- on the job's thread ---- */

/* One pass, and the destination has placed all of it. */
static int copy_round(struct source_job *job, uint32_t round, uint64_t *took_ns, struct err *err)
{
	uint64_t start = clock_now_ns(), bytes = source_channels_sent(job);
	struct ram_progress before, after;
	struct rbuf payload;
	uint32_t seen = 0;
	int rc;

	ram_sender_progress(job->sender, &before);
	rc = ram_sender_pass(job->sender, err);
	if (!rc)
		rc = source_channels_mark(job, round, err);
	if (!rc) {
		wbuf_u32(channel_begin(&job->ch, STREAM_ROUND), round);
		rc = channel_send(&job->ch, err);
	}
	if (!rc)
		rc = source_serve(job, STREAM_SEEN, false, &payload, err);
	if (!rc)
		rc = stream_u32_decode(&payload, &seen, err);
	if (!rc && seen != round)
		rc = err_set(err, -EPROTO, "the destination has seen round %u, not %u", seen,
			     round);
	if (rc)
		return rc;
	source_happened(job, STREAM_SEEN);
	ram_sender_progress(job->sender, &after);
	*took_ns = clock_now_ns() - start + 1;
	after.counts.pages -= before.counts.pages;
	if (after.counts.pages >= FEW_PAGES || !job->page_rate)
		job->page_rate = (unsigned __int128)(after.counts.pages + 1) *
				 job->geometry.page_size * NS_PER_S / *took_ns;
	pthread_mutex_lock(&job->lock);
	job->status.rate =
		(unsigned __int128)(source_channels_sent(job) - bytes) * NS_PER_S / *took_ns;
	pthread_mutex_unlock(&job->lock);
	return 0;
}

static void note_round(struct source_job *job, uint32_t round, uint64_t remaining, uint64_t took_ns)
{
	pthread_mutex_lock(&job->lock);
	job->status.round = round;
	job->status.dirty_rate = (unsigned __int128)remaining * NS_PER_S / took_ns;
	job->status.expected_ns =
		(unsigned __int128)remaining * NS_PER_S / (job->page_rate + 1) + SWITCH_NS;
	pthread_mutex_unlock(&job->lock);
}

/*
 * Whether to stop the guest now; -ETIME when it took too long already. What remains may fit, and half of it or more be
 * spared the guest by one more round, as the last one has shown: the same pages are sent, but while it runs.
 */
static int enough(const struct source_job *job, uint32_t round, uint64_t before, uint64_t remaining,
		  struct err *err)
{
	uint64_t elapsed = clock_now_ns() - job->started_ns;
	bool late = job->req.timeout_s && elapsed >= job->req.timeout_s * NS_PER_S;
	bool shrinks = remaining < before / 2 && job->status.expected_ns > SHORT_NS;

	if (round >= SOURCE_MAX_ROUNDS)
		return 1;
	if (job->status.expected_ns <= job->req.downtime_ms * NS_PER_MS)
		return late || !shrinks;
	if (!late)
		return 0;
	if (job->req.on_timeout == SOURCE_TIMEOUT_SWITCH)
		return 1;
	return err_set(
		err, -ETIME,
		"after %u s the guest would still have to stand still for %llu ms: it writes "
		"%llu MiB/s; allow a longer --downtime, or more --bandwidth",
		job->req.timeout_s, (unsigned long long)(job->status.expected_ns / NS_PER_MS),
		(unsigned long long)job->status.dirty_rate >> 20);
}

/* A guest that has written half as much as before, or more, while that was sent gets less time. */
static int slow_down(struct source_job *job, uint32_t round, uint64_t remaining, struct err *err)
{
	uint64_t before = job->last_remaining;

	job->last_remaining = remaining;
	if (!job->req.auto_converge || round < 2 || remaining <= before / 2 ||
	    job->throttled == THROTTLE_MAX)
		return 0;
	job->throttled = throttle_more(job->throttled);
	pthread_mutex_lock(&job->lock);
	job->status.throttle = (uint8_t)job->throttled;
	pthread_mutex_unlock(&job->lock);
	return source_ask_loop(job, do_throttle, err);
}

int source_copy(struct source_job *job, struct err *err)
{
	struct ram_sender *sender = NULL;
	uint64_t remaining, before, took = 1;
	uint32_t round = 0;
	int rc = source_ask_loop(job, do_log, err);

	if (!rc)
		rc = ram_sender_open(&job->vm->mem, &job->ch, &job->geometry, job->req.codec,
				     job->req.drop_tags, &sender, err);
	pthread_mutex_lock(&job->lock);
	job->sender = sender;
	pthread_mutex_unlock(&job->lock);
	if (!rc)
		rc = source_channels_attach(job, err);
	if (!rc)
		rc = ram_sender_look(job->sender, false, &remaining, err);
	source_set_phase(job, SOURCE_PHASE_COPYING);
	while (!rc && !(job->req.postcopy && round >= job->req.rounds)) {
		before = remaining;
		rc = copy_round(job, ++round, &took, err);
		if (!rc)
			rc = ram_sender_look(job->sender, false, &remaining, err);
		if (rc)
			break;
		note_round(job, round, remaining, took);
		rc = enough(job, round, before, remaining, err);
		if (!rc)
			rc = slow_down(job, round, remaining, err);
	}
	return rc < 0 ? rc : 0;
}
