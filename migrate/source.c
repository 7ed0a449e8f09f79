/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/source-job.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "migrate/ram.h"
#include "migrate/state.h"
#include "util/clock.h"
#include "vm/fault.h"
#include "vm/memory-log.h"
#include "vm/vm.h"

#define NS_PER_S 1000000000ull

/* ---- on the loop's thread ---- */

static int do_offer(struct source_job *job, struct err *err)
{
	int rc;

	vm_pause(job->vm);
	rc = state_offer(job->vm, &job->compat, &job->config, err);
	vm_resume(job->vm);
	return rc;
}

static int do_stand(struct source_job *job, struct err *err)
{
	struct wbuf compat;
	int rc;

	throttle_set(&job->throttle, 0);
	job->stands_ns = clock_now_ns();
	vm_pause(job->vm);
	job->stands = true;
	vm_hold_serial(job->vm, true);
	/* The guest may have ended before it was paused: then its vCPUs are past the call that did it. */
	if (job->vm->end != VM_END_NONE)
		return err_set(err, -EAGAIN, "the guest has just ended or reset");
	wbuf_init(&compat, SNAP_MAX_STATE);
	rc = state_save(job->vm, &compat, &job->state, err);
	wbuf_release(&compat);
	return rc;
}

/* What the thread has asked for; or it has ended. */
static void finish(struct source_job *job);

static void kicked(struct event_kick *kick)
{
	struct source_job *job = kick->ctx;
	struct err err = ERR_INIT;
	int rc;

	pthread_mutex_lock(&job->lock);
	if (job->call) {
		int (*call)(struct source_job *, struct err *) = job->call;

		pthread_mutex_unlock(&job->lock);
		rc = call(job, &err);
		pthread_mutex_lock(&job->lock);
		job->call = NULL;
		job->answer = rc;
		job->answer_err = err;
		pthread_cond_broadcast(&job->answered);
	}
	if (!job->ended) {
		pthread_mutex_unlock(&job->lock);
		return;
	}
	pthread_mutex_unlock(&job->lock);
	finish(job);
}

/* The thread has nothing more to do. */
static void finish(struct source_job *job)
{
	struct source_events events = job->events;
	struct source_status status;
	struct vm *vm = job->vm;

	if (job->threaded)
		pthread_join(job->thread, NULL);
	job->threaded = job->ended = false;
	if (job->course != SOURCE_DONE)
		vm->shift = VM_SHIFT_NONE;
	if (course_source_waits(job->course) && !job->leaving) {
		channel_hang_up(&job->ch);
		vm->shift = VM_SHIFT_KEPT;
		return;
	}
	late_map_release(&job->late);
	ram_sender_close(job->sender);
	throttle_release(&job->throttle);
	if (job->log_on && job->leaving) {
		mem_log_stop(&vm->mem); /* the vCPUs have ended */
	} else if (job->log_on) {
		vm_pause(vm);
		mem_log_stop(&vm->mem);
		vm_resume(vm);
	}
	status = job->status;
	/* DONE: nothing of this guest happens here any more, not even what its serial port still holds. */
	if (job->stands && status.phase != SOURCE_PHASE_DONE && status.phase != SOURCE_PHASE_KEPT) {
		if (status.phase == SOURCE_PHASE_UNDECIDED && !job->leaving) {
			/* If the guest runs there, what its ports hold is printed there. */
			(void)vm_user_pause(vm);
			vm->serial_held = true;
		} else {
			vm_hold_serial(vm, false);
		}
		vm_resume(vm);
	}
	event_kick_release(&job->kick);
	source_channels_close(job);
	channel_close(&job->ch);
	wbuf_release(&job->compat);
	wbuf_release(&job->config);
	wbuf_release(&job->state);
	pthread_cond_destroy(&job->answered);
	pthread_mutex_destroy(&job->lock);
	free(job);
	events.done(events.ctx, &status);
}

/* ---- on the job's thread ---- */

/* Has the loop do it. -ECANCELED when it does not run any more. */
int source_ask_loop(struct source_job *job, int (*call)(struct source_job *, struct err *),
		    struct err *err)
{
	int rc;

	pthread_mutex_lock(&job->lock);
	job->call = call;
	event_kick(&job->kick);
	while (job->call && !job->leaving)
		pthread_cond_wait(&job->answered, &job->lock);
	rc = job->call ? err_set(err, -ECANCELED, "the guest has ended or reset") : job->answer;
	if (!job->call && rc && err)
		*err = job->answer_err;
	job->call = NULL;
	pthread_mutex_unlock(&job->lock);
	return rc;
}

void source_happened(struct source_job *job, unsigned int event)
{
	pthread_mutex_lock(&job->lock);
	job->course = course_source_next(job->course, event);
	pthread_mutex_unlock(&job->lock);
}

void source_set_phase(struct source_job *job, enum source_phase phase)
{
	pthread_mutex_lock(&job->lock);
	job->status.phase = phase;
	pthread_mutex_unlock(&job->lock);
}

int source_aborted(struct source_job *job, struct rbuf *payload, struct err *err)
{
	struct err why = ERR_INIT;
	int rc = stream_abort_decode(payload, &why, err);

	if (rc)
		return rc;
	source_happened(job, STREAM_ABORT);
	return err_set(err, -EREMOTEIO, "the destination: %s", why.msg);
}

static int introduce(struct source_job *job, struct err *err)
{
	struct mem *mem = &job->vm->mem;
	struct rbuf payload;
	int rc = channel_hello(&job->ch, err);

	if (!rc)
		rc = source_ask_loop(job, do_offer, err);
	if (rc)
		return rc;
	ram_describe(mem, &job->geometry);
	job->geometry.tags = mem->sidecar != NULL;
	job->ch.page_size = job->geometry.page_size;
	if (job->req.postcopy)
		rc = source_late_open(job, err);
	if (rc)
		return rc;
	stream_offer_encode(channel_begin(&job->ch, STREAM_OFFER), &job->geometry,
			    (uint8_t)(job->req.postcopy ? job->late_bank + 1 : 0), &job->compat,
			    &job->config);
	rc = channel_send(&job->ch, err);
	if (rc)
		return rc;
	source_happened(job, COURSE_HELLO);
	rc = source_serve(job, STREAM_ACCEPT, false, &payload, err);
	if (!rc)
		rc = stream_nothing_decode(&payload, err);
	if (!rc)
		source_happened(job, STREAM_ACCEPT);
	return rc;
}

static int send_state(struct source_job *job, struct err *err)
{
	struct wbuf *out = channel_begin(&job->ch, STREAM_STATE);

	wbuf_bytes(out, job->state.data, job->state.len);
	pthread_mutex_lock(&job->lock);
	job->status.state_bytes = job->state.len;
	pthread_mutex_unlock(&job->lock);
	return channel_send(&job->ch, err);
}

/* From the pause to the destination's word that all of it is there. */
static int hand_over(struct source_job *job, struct err *err)
{
	struct rbuf payload;
	uint64_t remaining;
	int rc = job->req.postcopy ? source_late_note(job, false, err) : 0;

	if (!rc)
		rc = source_ask_loop(job, do_stand, err);
	if (rc)
		return rc;
	source_happened(job, COURSE_STOOD);
	source_set_phase(job, SOURCE_PHASE_SWITCHING);
	channel_limit(&job->ch, 0);
	source_channels_unlimit(job);
	rc = channel_send_empty(&job->ch, STREAM_PAUSED, err);
	if (!rc && job->req.postcopy)
		rc = source_late_note(job, true, err);
	if (!rc && !job->req.postcopy)
		rc = ram_sender_look(job->sender, true, &remaining, err);
	if (!rc && !job->req.postcopy)
		rc = ram_sender_pass(job->sender, err);
	if (!rc)
		rc = source_channels_mark(job, STREAM_LAST_ROUND, err);
	if (!rc && job->req.postcopy)
		rc = late_map_tell(&job->late, &job->ch, err);
	if (!rc)
		rc = send_state(job, err);
	if (rc)
		return rc;
	source_happened(job, job->late.left ? COURSE_SENT_LATE : COURSE_SENT);
	rc = source_serve(job, STREAM_LOADED, false, &payload, err);
	return rc ? rc : stream_nothing_decode(&payload, err);
}

/*
 * The point of no return. Once the last byte of COMMIT is with the kernel the destination may run; if any byte could not be
 * sent it never will.
 */
static int commit(struct source_job *job, struct err *err)
{
	struct rbuf payload;
	uint64_t their_ns = 0;
	int rc = 0;

	pthread_mutex_lock(&job->lock);
	if (job->cancelled || job->leaving)
		rc = err_set(err, -ECANCELED, "cancelled");
	else
		job->course = course_source_next(job->course, STREAM_LOADED);
	pthread_mutex_unlock(&job->lock);
	if (rc)
		return rc;
	/* No limit of the rate is on: it could be cancelled after the last byte. */
	wbuf_u8(channel_begin(&job->ch, STREAM_COMMIT), job->req.keep_paused);
	rc = channel_send(&job->ch, err);
	source_happened(job, rc ? COURSE_UNSENT : COURSE_SENT);
	if (!rc)
		rc = source_serve(job, STREAM_RUNNING, false, &payload, err);
	if (!rc)
		rc = stream_u64_decode(&payload, &their_ns, err);
	if (rc)
		return rc;
	source_happened(job, STREAM_RUNNING);
	pthread_mutex_lock(&job->lock);
	job->status.their_downtime_ns = their_ns;
	job->status.downtime_ns = clock_now_ns() - job->stands_ns;
	pthread_mutex_unlock(&job->lock);
	return 0;
}

static int do_leave(struct source_job *job, struct err *err)
{
	(void)err;
	job->vm->shift = VM_SHIFT_LEFT;
	return 0;
}

/* The guest runs there. Until all of its memory does, too. */
static int follow_up(struct source_job *job, struct err *err)
{
	struct rbuf payload;
	int rc;

	if (job->course != SOURCE_SERVING)
		return 0;
	source_set_phase(job, SOURCE_PHASE_SERVING);
	(void)ram_sender_late(job->sender, 0, 0, err); /* what remains is what is late */
	rc = source_ask_loop(job, do_leave, err);
	if (!rc)
		rc = source_serve(job, STREAM_COMPLETE, true, &payload, err);
	if (!rc)
		rc = stream_nothing_decode(&payload, err);
	if (!rc)
		source_happened(job, STREAM_COMPLETE);
	return rc;
}

static void explain_undecided(struct source_job *job, struct err *err)
{
	char cause[sizeof(err->msg)];

	memcpy(cause, err->msg, sizeof(cause));
	err_set(err, -EREMOTEIO,
		"the line was lost between the commit and its answer (%.120s): the VM stays paused here. "
		"If it runs at the destination: lkvm stop %s. If it does not: lkvm resume %s",
		cause, job->vm->name, job->vm->name);
}

/* What became of it, from the state that the course has come to. */
static void conclude(struct source_job *job, int rc, struct err *err)
{
	struct err theirs = ERR_INIT;
	bool closed = rc == -EPIPE || rc == -ECONNRESET;

	if (rc && job->leaving)
		err_set(err, rc, "the guest has ended or reset meanwhile");
	if (rc)
		source_happened(job, rc == -ECANCELED ? COURSE_CANCEL : COURSE_LINE);
	if (job->course == SOURCE_FAILED) {
		if (closed && channel_last_words(&job->ch, &theirs))
			err_set(err, -EREMOTEIO, "the destination: %s", theirs.msg);
		else if (!closed)
			channel_abort(&job->ch, rc == -ECANCELED ? -ECANCELED : -EIO, err->msg);
	}
	if (course_source_waits(job->course))
		channel_hang_up(&job->ch);
	pthread_mutex_lock(&job->lock);
	if (course_source_waits(job->course)) {
		job->status.phase = SOURCE_PHASE_KEPT;
		source_explain_kept(job, err);
		log_line(&job->vm->log, LOG_WARNING, "migration: %s", err->msg);
	} else if (job->course == SOURCE_UNDECIDED || job->course == SOURCE_COMMITTED) {
		job->status.phase = SOURCE_PHASE_UNDECIDED;
		explain_undecided(job, err);
		log_line(&job->vm->log, LOG_WARNING, "migration: %s", err->msg);
	} else {
		job->status.phase =
			job->course == SOURCE_DONE ? SOURCE_PHASE_DONE : SOURCE_PHASE_FAILED;
	}
	job->status.rc = rc;
	job->status.err = *err;
	pthread_mutex_unlock(&job->lock);
}

static void refresh(struct source_job *job, struct source_status *status)
{
	struct ram_progress progress;

	if (job->sender) {
		ram_sender_progress(job->sender, &progress);
		status->counts = progress.counts;
		status->remaining = progress.remaining;
	}
	status->sent_bytes = source_channels_sent(job);
	status->elapsed_ns = clock_now_ns() - job->started_ns;
}

static void *thread_main(void *arg)
{
	struct source_job *job = arg;
	struct err err = ERR_INIT;
	int rc = fault_thread_init(job->vm, &err);

	pthread_setname_np(pthread_self(), "migrate");
	if (!rc && job->rejoining) {
		rc = source_meet_again(job, &err);
	} else if (!rc) {
		channel_limit(&job->ch, job->req.bandwidth);
		rc = introduce(job, &err);
		if (!rc)
			rc = source_copy(job, &err);
		if (!rc)
			rc = hand_over(job, &err);
		if (!rc)
			rc = commit(job, &err);
	}
	if (!rc)
		rc = follow_up(job, &err);
	conclude(job, rc, &err);
	fault_thread_release();
	pthread_mutex_lock(&job->lock);
	refresh(job, &job->status);
	job->ended = true;
	event_kick(&job->kick);
	pthread_mutex_unlock(&job->lock);
	return NULL;
}

/* ---- what others call ---- */

int source_start(struct vm *vm, const struct source_request *req, int fd,
		 const struct source_events *events, struct source_job **out, struct err *err)
{
	struct source_job *job = calloc(1, sizeof(*job));
	int rc;

	if (!job) {
		close(fd);
		source_channels_drop(req);
		return err_set(err, -ENOMEM, "no memory for a migration");
	}
	job->req = *req;
	rc = channel_open(&job->ch, fd, fd, err);
	job->ch.brief = true;
	if (rc)
		source_channels_drop(req);
	else
		rc = source_channels_init(job, err);
	if (!rc)
		rc = throttle_init(&job->throttle, vm, err);
	if (rc) {
		source_channels_close(job);
		channel_close(&job->ch);
		free(job);
		return rc;
	}
	rc = event_kick_init(&job->kick, &vm->loop, kicked, job, err);
	if (rc) {
		throttle_release(&job->throttle);
		source_channels_close(job);
		channel_close(&job->ch);
		free(job);
		return rc;
	}
	job->vm = vm;
	job->events = *events;
	job->started_ns = clock_now_ns();
	job->status.phase = SOURCE_PHASE_CONNECTING;
	wbuf_init(&job->compat, SNAP_MAX_STATE);
	wbuf_init(&job->config, SNAP_MAX_STATE);
	wbuf_init(&job->state, SNAP_MAX_STATE);
	pthread_mutex_init(&job->lock, NULL);
	pthread_cond_init(&job->answered, NULL);
	rc = pthread_create(&job->thread, NULL, thread_main, job);
	if (rc) {
		event_kick_release(&job->kick);
		throttle_release(&job->throttle);
		source_channels_close(job);
		channel_close(&job->ch);
		free(job);
		return err_sys(err, -rc, "cannot start a thread for the migration");
	}
	job->threaded = true;
	*out = job;
	return 0;
}

int source_rejoin(struct source_job *job, int fd, struct err *err)
{
	int rc;

	if (job->threaded || !course_source_waits(job->course)) {
		close(fd);
		return err_set(
			err, -EBUSY,
			"the line of this migration is in use: it is given up after %d s without a byte",
			CHANNEL_STALL_MS / 1000);
	}
	channel_close(&job->ch);
	rc = channel_open(&job->ch, fd, fd, err);
	if (rc)
		return rc;
	job->ch.brief = true;
	job->ch.page_size = job->geometry.page_size;
	job->rejoining = true;
	job->status.phase = SOURCE_PHASE_CONNECTING;
	rc = pthread_create(&job->thread, NULL, thread_main, job);
	if (rc) {
		channel_hang_up(&job->ch);
		job->status.phase = SOURCE_PHASE_KEPT;
		return err_sys(err, -rc, "cannot start a thread for the migration");
	}
	job->threaded = true;
	return 0;
}

int source_resume(struct source_job *job, struct err *err)
{
	struct vm *vm = job->vm;

	if (job->threaded || job->course != SOURCE_UNSURE)
		return err_set(
			err, -EBUSY,
			"its guest runs at the destination, and needs the memory that is still here");
	source_happened(job, COURSE_RESUMED);
	job->status.phase = SOURCE_PHASE_FAILED;
	finish(job);
	(void)vm_user_resume(vm); /* it may have left as a paused one */
	return 0;
}

void source_status(struct source_job *job, struct source_status *status)
{
	pthread_mutex_lock(&job->lock);
	refresh(job, &job->status);
	*status = job->status;
	pthread_mutex_unlock(&job->lock);
}

int source_cancel(struct source_job *job)
{
	int rc = 0;

	pthread_mutex_lock(&job->lock);
	if (job->course >= SOURCE_READY) {
		rc = -EBUSY;
	} else {
		job->cancelled = true;
		channel_cancel(&job->ch);
	}
	pthread_mutex_unlock(&job->lock);
	return rc;
}

void source_leave(struct source_job *job)
{
	pthread_mutex_lock(&job->lock);
	job->leaving = true;
	channel_cancel(&job->ch);
	pthread_cond_broadcast(&job->answered);
	pthread_mutex_unlock(&job->lock);
	finish(job);
}
