/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migrate/lazy.h"
#include "migrate/source.h"
#include "util/share.h"
#include "vm/control.h"
#include "vm/vm.h"

#define NS_PER_S 1000000000ull

struct migrate_control {
	struct vm *vm;
	struct snapshot_job *job;
	struct snapshot_leaving leaving;
	struct snapshot_request *waiting; /* for the memory of a lazy restore; instead of job */
	struct outgoing *out;		  /* migration */
	struct snapshot_status status;
	struct event_timer lease;
	bool ends; /* the VM, as soon as somebody heard that its snapshot is there */
};

void snapshot_request_encode(const struct snapshot_request *req, struct wbuf *out)
{
	wbuf_str(out, req->path);
	wbuf_str(out, req->base);
	wbuf_u8(out, req->live);
	wbuf_u8(out, req->stop);
	wbuf_u8(out, req->drop_tags);
	wbuf_u8(out, req->codec);
	wbuf_u8(out, req->level);
	wbuf_u32(out, req->threads);
	wbuf_u64(out, req->rate);
	wbuf_u8(out, req->kvm_tags);
}

static bool read_flag(struct rbuf *in)
{
	uint8_t v = rbuf_u8(in);

	if (v > 1)
		in->error = -EBADMSG;
	return v;
}

int snapshot_request_decode(struct rbuf *in, struct snapshot_request *req, struct err *err)
{
	req->fd = -1;
	rbuf_str(in, req->path, sizeof(req->path));
	rbuf_str(in, req->base, sizeof(req->base));
	req->live = read_flag(in);
	req->stop = read_flag(in);
	req->drop_tags = read_flag(in);
	req->codec = rbuf_u8(in);
	req->level = rbuf_u8(in);
	req->threads = rbuf_u32(in);
	req->rate = rbuf_u64(in);
	req->kvm_tags = read_flag(in);
	if (rbuf_done(in))
		return err_set(err, -EBADMSG, "the request is malformed");
	if (req->path[0] != '/' || (req->base[0] && req->base[0] != '/'))
		return err_set(err, -EINVAL, "paths must be absolute");
	if (req->codec > SNAP_ZSTD || !req->level || req->level > 19)
		return err_set(err, -EINVAL, "unknown compression");
	if (!req->threads || req->threads > SHARE_MAX_THREADS)
		return err_set(err, -EINVAL, "--threads: 1 to %d", SHARE_MAX_THREADS);
	return 0;
}

void snapshot_status_encode(const struct snapshot_status *status, struct wbuf *out)
{
	wbuf_u8(out, status->phase);
	wbuf_u64(out, status->done);
	wbuf_u64(out, status->total);
	wbuf_u32(out, (uint32_t)status->rc);
	wbuf_str(out, status->err.msg);
	wbuf_u64(out, status->result.file_bytes);
	wbuf_u64(out, status->result.data_bytes);
	wbuf_u64(out, status->result.tag_bytes);
	wbuf_u64(out, status->result.pause_ns);
}

int snapshot_status_decode(struct rbuf *in, struct snapshot_status *status)
{
	memset(status, 0, sizeof(*status));
	status->phase = rbuf_u8(in);
	status->done = rbuf_u64(in);
	status->total = rbuf_u64(in);
	status->rc = (int)rbuf_u32(in);
	rbuf_str(in, status->err.msg, sizeof(status->err.msg));
	status->result.file_bytes = rbuf_u64(in);
	status->result.data_bytes = rbuf_u64(in);
	status->result.tag_bytes = rbuf_u64(in);
	status->result.pause_ns = rbuf_u64(in);
	return rbuf_done(in) || status->phase > SNAPSHOT_FAILED ? -EBADMSG : 0;
}

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct migrate_control *mc = ctx;

	mc->status.done = done;
	mc->status.total = total;
}

static void on_done(void *ctx, int rc, const struct err *err, const struct snapshot_result *result,
		    bool ends)
{
	struct migrate_control *mc = ctx;

	mc->job = NULL;
	mc->status.phase = rc ? SNAPSHOT_FAILED : SNAPSHOT_DONE;
	mc->status.rc = rc;
	mc->status.err = *err;
	mc->status.result = *result;
	mc->ends = ends;
	if (!ends)
		event_timer_disarm(&mc->lease);
}

static bool is_busy(const struct migrate_control *mc)
{
	return mc->job || mc->waiting;
}

static void renew(struct migrate_control *mc)
{
	if (is_busy(mc))
		event_timer_arm(&mc->lease, SNAPSHOT_LEASE_SECONDS * NS_PER_S);
}

static void forget(struct snapshot_request *req)
{
	if (req && req->fd >= 0)
		close(req->fd);
	free(req);
}

static void cancel(struct migrate_control *mc)
{
	if (mc->ends)
		vm_finish(mc->vm, VM_END_STOP, NULL); /* too late: the file is there */
	if (mc->job && !snapshot_cancel(mc->job))
		return; /* on_done() was called */
	mc->job = NULL;
	forget(mc->waiting);
	mc->waiting = NULL;
	mc->status.phase = SNAPSHOT_NONE;
	event_timer_disarm(&mc->lease);
}

static void lease_expired(struct event_timer *timer)
{
	struct migrate_control *mc = timer->ctx;

	if (is_busy(mc))
		log_line(&mc->vm->log, LOG_WARNING, "snapshot cancelled: who asked for it is gone");
	cancel(mc);
}

/* The file that came with the request. A VM that can open none needs it. */
static int take_file(struct vm *vm, struct snapshot_request *req, struct err *err)
{
	struct stat st;

	if (vm->passed_fd < 0)
		return vm->confined
			       ? err_set(err, SNAPSHOT_NEEDS_FILE,
					 "a VM that came by migration opens no files: it must be handed an open one")
			       : 0;
	if (fstat(vm->passed_fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "what came with the request is not a file");
	if (req->base[0])
		return err_set(
			err, -EOPNOTSUPP,
			"--base: a VM that came by migration cannot read that file; save all of it, "
			"without --base");
	req->fd = vm->passed_fd;
	vm->passed_fd = -1;
	return 0;
}

/* Takes @req over. */
static int begin(struct migrate_control *mc, struct snapshot_request *req, struct err *err)
{
	const struct snapshot_events events = {
		.leaving = &mc->leaving, .progress = on_progress, .done = on_done, .ctx = mc};
	int rc = snapshot_start(mc->vm, req, &events, &mc->job, err);

	forget(req); /* the saving child has the file */
	return rc;
}

/* Who asks after it is what makes it begin: nobody else needs to know that it waits. */
static void begin_waiting(struct migrate_control *mc)
{
	struct snapshot_request *req = mc->waiting;
	struct err err = ERR_INIT;
	int rc;

	if (!req || mem_is_filling(&mc->vm->mem) || !mc->vm->vcpus)
		return;
	mc->waiting = NULL;
	rc = begin(mc, req, &err);
	if (!rc)
		return;
	mc->status.phase = SNAPSHOT_FAILED;
	mc->status.rc = rc;
	mc->status.err = err;
	event_timer_disarm(&mc->lease);
}

static int start(struct migrate_control *mc, struct rbuf *payload, struct err *err)
{
	struct snapshot_request *req = calloc(1, sizeof(*req));
	int rc = req ? snapshot_request_decode(payload, req, err)
		     : err_set(err, -ENOMEM, "no memory for a snapshot");

	if (!rc && mc->ends)
		rc = err_set(err, -EBUSY, "the VM ends: its snapshot is there");
	if (!rc && is_busy(mc))
		rc = err_set(err, -EBUSY, "a snapshot of this VM is being made");
	if (!rc && outgoing_busy(mc->out))
		rc = err_set(err, -EBUSY, "the VM is being migrated");
	if (!rc && mc->vm->incoming)
		rc = err_set(err, -EAGAIN, "the guest is still on its way here");
	if (!rc && !mc->vm->vcpus)
		rc = err_set(err, -EAGAIN, "the guest is between two boots; try again");
	if (!rc)
		rc = snapshot_check(mc->vm, req, err);
	if (!rc)
		rc = take_file(mc->vm, req, err);
	if (rc) {
		forget(req);
		return rc;
	}
	memset(&mc->status, 0, sizeof(mc->status));
	if (mem_is_filling(&mc->vm->mem)) {
		mc->waiting = req;
		lazy_want_all(mc->vm->lazy);
	} else {
		rc = begin(mc, req, err);
	}
	if (!rc)
		mc->status.phase = SNAPSHOT_RUNNING;
	renew(mc);
	return rc;
}

static int answer(struct vm *vm, void *ctx, uint16_t type, struct rbuf *payload, struct wbuf *out,
		  struct err *err)
{
	struct migrate_control *mc = ctx;

	if (type == CONTROL_MIGRATE && (is_busy(mc) || mc->ends))
		return err_set(err, -EBUSY, "a snapshot of this VM is being made");
	if (type == CONTROL_MIGRATE && mem_is_filling(&vm->mem)) {
		lazy_want_all(vm->lazy);
		return err_set(err, -EAGAIN, "guest memory is still coming in; try again");
	}
	if (type >= CONTROL_MIGRATE || type == CONTROL_PAUSE || type == CONTROL_RESUME)
		return outgoing_answer(mc->out, type, payload, out, err);
	if (type == CONTROL_SNAPSHOT)
		return start(mc, payload, err);
	if (rbuf_done(payload))
		return err_set(err, -EBADMSG, "request %u has a payload of the wrong length", type);
	if (type == CONTROL_SNAPSHOT_STATUS) {
		begin_waiting(mc);
		renew(mc);
		snapshot_status_encode(&mc->status, out);
		if (mc->ends)
			vm_finish(mc->vm, VM_END_STOP, NULL);
		if (!is_busy(mc))
			mc->status.phase = SNAPSHOT_NONE;
		return 0;
	}
	/* It is there, or failed, and nobody was told yet: that is asked for, and not undone. */
	if (mc->status.phase != SNAPSHOT_DONE && mc->status.phase != SNAPSHOT_FAILED)
		cancel(mc);
	return 0;
}

int migrate_control_open(struct vm *vm, struct migrate_control **out, struct err *err)
{
	struct migrate_control *mc = calloc(1, sizeof(*mc));
	int rc = mc ? event_timer_init(&mc->lease, &vm->loop, lease_expired, mc, err)
		    : err_set(err, -ENOMEM, "no memory for snapshots");

	if (rc) {
		free(mc);
		return rc;
	}
	rc = outgoing_open(vm, &mc->out, err);
	if (rc) {
		event_timer_release(&mc->lease);
		free(mc);
		return rc;
	}
	mc->vm = vm;
	vm->extra = answer;
	vm->extra_ctx = mc;
	*out = mc;
	return 0;
}

void migrate_control_leave(struct migrate_control *mc)
{
	outgoing_leave(mc->out);
	if (!mc->job || !mem_has_file(&mc->vm->mem))
		return;
	/* The next boot empties the file, of which the saving process has what the guest has not written yet. */
	if (!snapshot_cancel(mc->job))
		return;
	mc->job = NULL;
	mc->status.phase = SNAPSHOT_FAILED;
	mc->status.rc = err_set(&mc->status.err, -ECANCELED,
				"the guest has ended or reset while its memory was saved");
	event_timer_disarm(&mc->lease);
}

void migrate_control_close(struct migrate_control *mc)
{
	outgoing_close(mc->out);
	mc->vm->extra = NULL;
	cancel(mc);
	snapshot_forget(&mc->leaving);
	event_timer_release(&mc->lease);
	free(mc);
}
