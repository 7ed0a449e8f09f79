/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket's requests about migration: one is started with a connection that comes with the request, asked after,
 * and perhaps cancelled. Who starts one keeps asking, as with a snapshot. docs/control-protocol.md has the bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migrate/control.h"
#include "migrate/destination.h"
#include "migrate/source.h"
#include "vm/control.h"
#include "vm/vm.h"

#define NS_PER_S	1000000000ull
#define DOWNTIME_MAX_MS 3600000u

struct outgoing {
	struct vm *vm;
	struct source_job *job;
	struct source_status status; /* of the last one */
	struct event_timer lease;
	bool ends; /* the VM, as soon as somebody heard that its guest is elsewhere */
};

void source_request_encode(const struct source_request *req, struct wbuf *out)
{
	wbuf_u32(out, req->downtime_ms);
	wbuf_u64(out, req->bandwidth);
	wbuf_u32(out, req->timeout_s);
	wbuf_u8(out, req->on_timeout);
	wbuf_u8(out, req->codec);
	wbuf_u8(out, req->auto_converge);
	wbuf_u8(out, req->keep_paused);
	wbuf_u8(out, req->drop_tags);
	wbuf_u8(out, req->postcopy);
	wbuf_u8(out, req->recover);
	wbuf_u32(out, req->rounds);
}

int source_request_decode(struct rbuf *in, struct source_request *req, struct err *err)
{
	uint8_t auto_converge, keep_paused, drop_tags, postcopy, recover;

	memset(req, 0, sizeof(*req));
	req->downtime_ms = rbuf_u32(in);
	req->bandwidth = rbuf_u64(in);
	req->timeout_s = rbuf_u32(in);
	req->on_timeout = rbuf_u8(in);
	req->codec = rbuf_u8(in);
	auto_converge = rbuf_u8(in);
	keep_paused = rbuf_u8(in);
	drop_tags = rbuf_u8(in);
	postcopy = rbuf_u8(in);
	recover = rbuf_u8(in);
	req->rounds = rbuf_u32(in);
	req->auto_converge = auto_converge;
	req->keep_paused = keep_paused;
	req->drop_tags = drop_tags;
	req->postcopy = postcopy;
	req->recover = recover;
	if (rbuf_done(in) || auto_converge > 1 || keep_paused > 1 || drop_tags > 1 ||
	    postcopy > 1 || recover > 1 || req->rounds > SOURCE_MAX_ROUNDS ||
	    req->on_timeout > SOURCE_TIMEOUT_SWITCH || req->codec > SNAP_ZSTD ||
	    req->downtime_ms > DOWNTIME_MAX_MS)
		return err_set(err, -EBADMSG, "the request is malformed");
	return 0;
}

void source_status_encode(const struct source_status *s, struct wbuf *out)
{
	wbuf_u8(out, s->phase);
	wbuf_u32(out, s->round);
	wbuf_u64(out, s->remaining);
	wbuf_u64(out, s->dirty_rate);
	wbuf_u64(out, s->rate);
	wbuf_u8(out, s->throttle);
	wbuf_u64(out, s->expected_ns);
	wbuf_u64(out, s->counts.pages);
	wbuf_u64(out, s->counts.zero_pages);
	wbuf_u64(out, s->counts.data_bytes);
	wbuf_u64(out, s->counts.tag_bytes);
	wbuf_u64(out, s->counts.zero_bytes);
	wbuf_u64(out, s->state_bytes);
	wbuf_u64(out, s->sent_bytes);
	wbuf_u64(out, s->elapsed_ns);
	wbuf_u64(out, s->downtime_ns);
	wbuf_u64(out, s->their_downtime_ns);
	wbuf_u64(out, s->faults);
	wbuf_u32(out, (uint32_t)s->rc);
	wbuf_str(out, s->err.msg);
}

int source_status_decode(struct rbuf *in, struct source_status *s)
{
	memset(s, 0, sizeof(*s));
	s->phase = rbuf_u8(in);
	s->round = rbuf_u32(in);
	s->remaining = rbuf_u64(in);
	s->dirty_rate = rbuf_u64(in);
	s->rate = rbuf_u64(in);
	s->throttle = rbuf_u8(in);
	s->expected_ns = rbuf_u64(in);
	s->counts.pages = rbuf_u64(in);
	s->counts.zero_pages = rbuf_u64(in);
	s->counts.data_bytes = rbuf_u64(in);
	s->counts.tag_bytes = rbuf_u64(in);
	s->counts.zero_bytes = rbuf_u64(in);
	s->state_bytes = rbuf_u64(in);
	s->sent_bytes = rbuf_u64(in);
	s->elapsed_ns = rbuf_u64(in);
	s->downtime_ns = rbuf_u64(in);
	s->their_downtime_ns = rbuf_u64(in);
	s->faults = rbuf_u64(in);
	s->rc = (int)rbuf_u32(in);
	rbuf_str(in, s->err.msg, sizeof(s->err.msg));
	return rbuf_done(in) || s->phase >= SOURCE_PHASES || s->throttle > 100 ? -EBADMSG : 0;
}

static void on_done(void *ctx, const struct source_status *status)
{
	struct outgoing *out = ctx;

	out->job = NULL;
	out->status = *status;
	out->ends = status->phase == SOURCE_PHASE_DONE;
	/* The lease goes on: if nobody asks any more, the VM ends all the same. */
	if (!out->ends)
		event_timer_disarm(&out->lease);
}

static void renew(struct outgoing *out)
{
	if (out->job || out->ends)
		event_timer_arm(&out->lease, SNAPSHOT_LEASE_SECONDS * NS_PER_S);
}

static void lease_expired(struct event_timer *timer)
{
	struct outgoing *out = timer->ctx;

	if (out->ends) {
		vm_finish(out->vm, VM_END_STOP, NULL);
	} else if (out->job && source_cancel(out->job) == 0) {
		log_line(&out->vm->log, LOG_WARNING,
			 "migration cancelled: who asked for it is gone");
	}
	renew(out);
}

/* The descriptor that came with the request becomes ours. */
static int take_connection(struct vm *vm, struct err *err)
{
	int fd = vm->passed_fd, type = 0;
	socklen_t len = sizeof(type);

	if (fd < 0)
		return err_set(err, -EBADMSG, "no connection came with the request");
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
		return err_set(err, -ENOTSOCK, "the connection is not a stream socket");
	vm->passed_fd = -1;
	return fd;
}

static int recover(struct outgoing *out, struct err *err)
{
	int fd, rc;

	if (!out->job)
		return err_set(err, -ENOENT, "--recover: no post-copy of this VM was under way");
	fd = take_connection(out->vm, err);
	if (fd < 0)
		return fd;
	rc = source_rejoin(out->job, fd, err);
	renew(out);
	return rc;
}

/* The destination's VM: a new line for the memory that it lacks. */
static int join(struct vm *vm, struct err *err)
{
	int fd;

	if (!vm->arriving)
		return err_set(err, -ENOENT, "this VM waits for nobody's memory");
	fd = take_connection(vm, err);
	return fd < 0 ? fd : destination_join(vm->arriving, fd, err);
}

static int start(struct outgoing *out, struct rbuf *payload, struct err *err)
{
	const struct source_events events = {.done = on_done, .ctx = out};
	struct source_request req;
	int rc = source_request_decode(payload, &req, err), fd;

	if (!rc && req.recover)
		return recover(out, err);
	if (!rc && out->ends)
		rc = err_set(err, -EBUSY, "the VM ends: its guest is elsewhere");
	if (!rc && out->job)
		rc = err_set(err, -EBUSY, "the VM is being migrated already%s",
			     out->vm->shift == VM_SHIFT_KEPT ? "; --recover goes on with it" : "");
	if (!rc && (!out->vm->vcpus || out->vm->incoming))
		rc = err_set(err, -EAGAIN, "%s; try again",
			     out->vm->incoming ? "the guest is still on its way here"
					       : "the guest is between two boots");
	if (rc)
		return rc;
	fd = take_connection(out->vm, err);
	if (fd < 0)
		return fd;
	memset(&out->status, 0, sizeof(out->status));
	rc = source_start(out->vm, &req, fd, &events, &out->job, err);
	renew(out);
	return rc;
}

static void status(struct outgoing *out, struct wbuf *reply)
{
	if (out->job)
		source_status(out->job, &out->status);
	source_status_encode(&out->status, reply);
	if (out->ends)
		vm_finish(out->vm, VM_END_STOP, NULL);
	else if (!out->job)
		out->status.phase = SOURCE_PHASE_NONE;
	renew(out);
}

int outgoing_answer(struct outgoing *out, uint16_t type, struct rbuf *payload, struct wbuf *reply,
		    struct err *err)
{
	if (type == CONTROL_MIGRATE)
		return start(out, payload, err);
	if (rbuf_done(payload))
		return err_set(err, -EBADMSG, "request %u has a payload of the wrong length", type);
	if (type == CONTROL_MIGRATE_STATUS) {
		status(out, reply);
		return 0;
	}
	if (type == CONTROL_MIGRATE_JOIN)
		return join(out->vm, err);
	if (type == CONTROL_RESUME && out->job)
		return source_resume(out->job, err);
	if (type == CONTROL_PAUSE)
		return err_set(err, -EALREADY, "its guest is at the destination");
	if (!out->job)
		return err_set(err, -ENOENT, "the VM is not being migrated");
	if (source_cancel(out->job))
		return err_set(
			err, -EBUSY, "it is too late: %s",
			out->vm->shift == VM_SHIFT_NONE
				? "the destination has all of it"
				: "the guest is at the destination, and needs the memory that is still here");
	return 0;
}

bool outgoing_busy(const struct outgoing *out)
{
	return out->job || out->ends;
}

int outgoing_open(struct vm *vm, struct outgoing **pout, struct err *err)
{
	struct outgoing *out = calloc(1, sizeof(*out));
	int rc = out ? event_timer_init(&out->lease, &vm->loop, lease_expired, out, err)
		     : err_set(err, -ENOMEM, "no memory for migrations");

	if (rc) {
		free(out);
		return rc;
	}
	out->vm = vm;
	*pout = out;
	return 0;
}

void outgoing_leave(struct outgoing *out)
{
	if (out->job)
		source_leave(out->job);
}

void outgoing_close(struct outgoing *out)
{
	outgoing_leave(out);
	event_timer_release(&out->lease);
	free(out);
}
