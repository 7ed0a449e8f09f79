/* SPDX-License-Identifier: GPL-2.0-only */
/* The source's further connections: they carry pages, and after each pass a mark that all of it was sent. */
#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include "migrate/source-job.h"
#include "vm/fault.h"

void source_channels_drop(const struct source_request *req)
{
	for (unsigned int i = 0; i < req->n_extra; i++)
		close(req->extra[i]);
}

int source_channels_init(struct source_job *job, struct err *err)
{
	int rc = 0;

	for (unsigned int i = 0; i < job->req.n_extra; i++) {
		struct channel *ch = &job->extra[i];
		int fd = job->req.extra[i];

		if (rc) {
			close(fd);
			continue;
		}
		rc = channel_open(ch, fd, fd, err);
		if (rc)
			continue;
		job->n_extra++;
		rc = channel_follow(ch, &job->ch, err);
	}
	return rc;
}

void source_channels_close(struct source_job *job)
{
	for (unsigned int i = 0; i < job->n_extra; i++)
		channel_close(&job->extra[i]);
	job->n_extra = 0;
}

static int enter(void *ctx, struct err *err)
{
	struct source_job *job = ctx;

	return fault_thread_init(job->vm, err);
}

static int announce(struct source_job *job, const uint8_t id[16], struct err *err)
{
	struct rbuf payload;
	struct wbuf out;
	int rc;

	stream_channels_encode(channel_begin(&job->ch, STREAM_CHANNELS), job->n_extra + 1, id);
	rc = channel_send(&job->ch, err);
	for (unsigned int i = 0; i < job->n_extra && !rc; i++) {
		wbuf_init(&out, STREAM_ATTACH);
		stream_attach_encode(&out, i + 1, id);
		rc = out.error ? err_sys(err, out.error, "a connection")
			       : channel_send_bytes(&job->extra[i], out.data, out.len, err);
		wbuf_release(&out);
	}
	if (!rc)
		rc = source_serve(job, STREAM_ATTACHED, false, &payload, err);
	return rc ? rc : stream_nothing_decode(&payload, err);
}

int source_channels_attach(struct source_job *job, struct err *err)
{
	const struct ram_threads threads = {
		.enter = enter, .leave = fault_thread_release, .ctx = job};
	uint64_t rate = job->req.bandwidth / (job->n_extra + 1);
	uint8_t id[16];
	int rc;

	if (!job->n_extra)
		return 0;
	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return err_sys(err, -errno, "no entropy from the host");
	rc = announce(job, id, err);
	if (rc)
		return rc;
	/* All of them together keep the limit; 0 would be none. */
	if (job->req.bandwidth)
		channel_limit(&job->ch, rate ? rate : 1);
	ram_sender_threads(job->sender, &threads);
	for (unsigned int i = 0; i < job->n_extra && !rc; i++) {
		job->extra[i].page_size = job->ch.page_size;
		if (job->req.bandwidth)
			channel_limit(&job->extra[i], rate ? rate : 1);
		rc = ram_sender_add(job->sender, &job->extra[i], err);
	}
	source_happened(job, STREAM_ATTACHED);
	return rc;
}

int source_channels_mark(struct source_job *job, uint32_t round, struct err *err)
{
	int rc = 0;

	for (unsigned int i = 0; i < job->n_extra && !rc; i++) {
		wbuf_u32(channel_begin(&job->extra[i], STREAM_ROUND), round);
		rc = channel_send(&job->extra[i], err);
	}
	return rc;
}

void source_channels_unlimit(struct source_job *job)
{
	for (unsigned int i = 0; i < job->n_extra; i++)
		channel_limit(&job->extra[i], 0);
}

uint64_t source_channels_sent(const struct source_job *job)
{
	uint64_t sent = __atomic_load_n(&job->ch.sent_bytes, __ATOMIC_RELAXED);

	for (unsigned int i = 0; i < job->n_extra; i++)
		sent += __atomic_load_n(&job->extra[i].sent_bytes, __ATOMIC_RELAXED);
	return sent;
}
