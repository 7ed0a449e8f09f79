/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The source of post-copy: what the guest had written and was not sent is noted rather than sent; the guest goes on at the
 * destination, and pages go there as they are asked for, the others behind them. The guest never runs here again then: what
 * is here is the only copy.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/random.h>

#include "migrate/source-job.h"
#include "util/clock.h"

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull
#define UNSENT	  (128 << 10)
#define NAP_NS	  (10 * NS_PER_S) /* longer, and the destination takes the line for cut */
#define AROUND	  16 /* neighbours that are sent with a page that is asked for: a power of 2 */

int source_late_open(struct source_job *job, struct err *err)
{
	const struct mem *mem = &job->vm->mem;

	const struct mem_bank *ram = mem_find(mem, "ram");

	if (!ram)
		return err_set(err, -EINVAL, "--postcopy: the machine has no RAM");
	job->late_bank = (uint32_t)(ram - mem->banks);
	if (getrandom(job->geometry.uuid, sizeof(job->geometry.uuid), 0) !=
	    sizeof(job->geometry.uuid))
		return err_sys(err, -errno, "no random number for the migration");
	return late_map_init(&job->late, mem->banks[job->late_bank].spec.size / mem->page_size,
			     err);
}

int source_late_note(struct source_job *job, bool last, struct err *err)
{
	uint64_t remaining;
	int rc;

	ram_sender_note(job->sender, job->late_bank, &job->late);
	rc = ram_sender_look(job->sender, last, &remaining, err);
	return rc ? rc : ram_sender_pass(job->sender, err);
}

/* ---- serving ---- */

static int take_request(struct source_job *job, struct rbuf *payload, struct err *err)
{
	uint64_t page[STREAM_REQUEST_PAGES];
	size_t n;
	int rc = stream_request_decode(payload, job->late.pages, page, &n, err);

	for (size_t i = 0; i < n && !rc; i++) {
		if (!late_map_announced(&job->late, page[i]))
			return err_set(
				err, -EBADMSG,
				"the destination asks for a page that it was not to get late");
		if (!late_map_wants(&job->late, page[i]))
			continue; /* it is on its way */
		if (job->n_asked == SOURCE_REQUESTS)
			return err_set(err, -EBADMSG,
				       "the destination asks for more than %d pages at a time",
				       SOURCE_REQUESTS);
		job->asked[job->n_asked++] = page[i];
		pthread_mutex_lock(&job->lock);
		job->status.faults++;
		pthread_mutex_unlock(&job->lock);
	}
	return rc;
}

static int serve_one(struct source_job *job, struct err *err)
{
	uint64_t page = job->asked[0];
	uint64_t mask = ((1ull << AROUND) - 1) << (page % 64 & ~(AROUND - 1ull));

	memmove(job->asked, job->asked + 1, --job->n_asked * sizeof(job->asked[0]));
	job->late.cursor = page / 64; /* what is near may be wanted next */
	return ram_sender_late(job->sender, page / 64, mask, err);
}

/* @until: the message that is waited for; then @type is that. */
static int take_message(struct source_job *job, enum stream_type until, uint32_t *type,
			struct rbuf *payload, struct err *err)
{
	int rc = channel_receive(&job->ch, type, payload, err);

	if (rc || *type == STREAM_ALIVE || *type == (uint32_t)until)
		return rc;
	if (*type == STREAM_ABORT)
		return source_aborted(job, payload, err);
	if (*type != STREAM_REQUEST || course_source_next(job->course, *type) != job->course)
		return err_set(err, -EPROTO, "the destination said %s where %s was due",
			       stream_type_name(*type), stream_type_name(until));
	return take_request(job, payload, err);
}

/*
 * How long the next page that nobody waits for has to be held back for --bandwidth, in ms. @heard_ns: the last time that
 * something went over the line, which is not to look dead.
 */
static int hold_back(const struct source_job *job, uint64_t since_ns, uint64_t sent,
		     uint64_t heard_ns)
{
	uint64_t due, now = clock_now_ns();

	if (!job->req.bandwidth)
		return 0;
	due = since_ns + (uint64_t)((unsigned __int128)(job->ch.sent_bytes - sent) * NS_PER_S /
				    job->req.bandwidth);
	if (due > heard_ns + NAP_NS)
		due = heard_ns + NAP_NS;
	return due > now ? (int)((due - now) / NS_PER_MS) + 1 : 0;
}

/* What went over the line last, and what of it was more than a sign of life. */
struct heard {
	uint64_t any_ns, more_ns;
};

/* How long there may still come nothing, in ms; -ETIMEDOUT: no longer. */
static int check_stall(const struct channel *ch, const struct heard *heard, enum stream_type until,
		       struct err *err)
{
	uint64_t now = clock_now_ns(), still_ms = (now - heard->any_ns) / NS_PER_MS;

	if (still_ms >= ch->stall_ms)
		return err_set(err, -ETIMEDOUT, "the line stood still for %u s",
			       ch->stall_ms / 1000);
	if (now - heard->more_ns >= ch->alive_max_ms * NS_PER_MS)
		return err_set(err, -ETIMEDOUT,
			       "the destination lives, but did not say %s for %u min",
			       stream_type_name(until), ch->alive_max_ms / 60000);
	return (int)(ch->stall_ms - still_ms);
}

static int serve(struct source_job *job, enum stream_type until, bool more, uint32_t *type,
		 struct rbuf *payload, struct heard *heard, int ms, struct err *err)
{
	int ready = channel_poll(&job->ch, true, NULL, 0, ms, err), rc = 0;
	uint64_t word;

	if (ready < 0)
		return ready;
	if (ready)
		rc = take_message(job, until, type, payload, err);
	else if (job->n_asked)
		rc = serve_one(job, err);
	else if (more && !ms && late_map_next(&job->late, &word))
		rc = ram_sender_late(job->sender, word, ~0ull, err);
	else
		return 0;
	/* COMMIT is short, and nothing is under way in front of it: who has it answers. */
	if (ready && *type == STREAM_ALIVE && until == STREAM_RUNNING)
		return rc;
	heard->any_ns = clock_now_ns();
	if (!ready || *type != STREAM_ALIVE)
		heard->more_ns = heard->any_ns;
	return rc;
}

int source_serve(struct source_job *job, enum stream_type until, bool all, struct rbuf *payload,
		 struct err *err)
{
	uint64_t since = clock_now_ns(), sent = job->ch.sent_bytes;
	struct heard heard = {since, since};
	uint32_t type = 0;
	int few = UNSENT, rc = 0;

	/* What a page that is asked for has in front of it. Nothing but TCP knows that, or needs it. */
	if (all)
		(void)setsockopt(job->ch.wfd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &few, sizeof(few));

	while (!rc && type != (uint32_t)until) {
		bool more = all && job->late.left;
		int ms = check_stall(&job->ch, &heard, until, err);

		if (ms < 0)
			return ms;
		if (job->n_asked)
			ms = 0;
		else if (more)
			ms = hold_back(job, since, sent, heard.any_ns);
		rc = serve(job, until, more, &type, payload, &heard, ms, err);
	}
	return rc;
}

/* ---- joining again ---- */

int source_meet_again(struct source_job *job, struct err *err)
{
	struct rbuf payload;
	uint32_t type = 0;
	int rc = channel_hello(&job->ch, err);

	if (!rc) {
		wbuf_bytes(channel_begin(&job->ch, STREAM_REJOIN), job->geometry.uuid,
			   sizeof(job->geometry.uuid));
		rc = channel_send(&job->ch, err);
	}
	late_map_forget(&job->late);
	job->n_asked = 0;
	while (!rc && type != STREAM_JOINED) {
		rc = channel_receive(&job->ch, &type, &payload, err);
		if (!rc && type == STREAM_ABORT)
			rc = source_aborted(job, &payload, err);
		else if (!rc && type == STREAM_MISSING)
			rc = late_map_hear_again(&job->late, &payload, err);
		else if (!rc && (type == STREAM_JOINED || type == STREAM_COMPLETE))
			rc = stream_nothing_decode(&payload, err);
		else if (!rc)
			rc = err_set(err, -EPROTO, "the destination said %s where joined was due",
				     stream_type_name(type));
		if (!rc && type == STREAM_COMPLETE)
			break;
	}
	if (!rc)
		source_happened(job, type == STREAM_COMPLETE ? STREAM_COMPLETE : COURSE_JOINED);
	return rc;
}

void source_explain_kept(const struct source_job *job, struct err *err)
{
	char cause[sizeof(err->msg)];

	memcpy(cause, err->msg, sizeof(cause));
	if (job->course == SOURCE_UNSURE)
		err_set(err, -EREMOTEIO,
			"the line was lost between the commit and its answer (%.100s): the VM stays paused here. If it is at "
			"the destination: lkvm incoming SRC --recover NAME there, lkvm migrate %s DEST --recover. If it is "
			"not: lkvm resume %s",
			cause, job->vm->name, job->vm->name);
	else
		err_set(err, -EREMOTEIO,
			"the line was lost while memory was still to be sent (%.100s): the guest stands still, all is kept. "
			"Join them: lkvm incoming SRC --recover NAME there, then lkvm migrate %s DEST --recover (ssh:// "
			"needs only that). lkvm stop %s here loses the guest",
			cause, job->vm->name, job->vm->name);
}
