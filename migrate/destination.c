/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/destination-job.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "util/clock.h"
#include "util/confine.h"
#include "vm/fault.h"

void destination_happened(struct destination *d, unsigned int event)
{
	pthread_mutex_lock(&d->lock);
	d->course = course_destination_next(d->course, event);
	pthread_mutex_unlock(&d->lock);
}

void destination_idle(struct destination *d)
{
	pthread_mutex_lock(&d->lock);
	d->idle = true;
	pthread_mutex_unlock(&d->lock);
}

/* ---- before there is a VM ---- */

int destination_open(int rfd, int wfd, int door, struct destination **out, struct err *err)
{
	struct destination *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return err_set(err, -ENOMEM, "no memory for a migration");
	rc = channel_open(&d->ch, rfd, wfd, err);
	if (rc) {
		free(d);
		return rc;
	}
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->answered, NULL);
	wbuf_init(&d->reasons, 1 << 16);
	wbuf_init(&d->state, SNAP_MAX_STATE);
	d->late.uffd = d->late.wake = d->late.joining = -1;
	d->door = door;
	*out = d;
	return 0;
}

const char *destination_reasons(const struct destination *d)
{
	return d->reasons.len ? (const char *)d->reasons.data : "";
}

/* All that this host lacks, as one line for the source and one each for here. */
static int check_host(struct destination *d, int kvm_fd, struct rbuf *compat, struct err *err)
{
	struct wbuf view = {.data = (uint8_t *)compat->data, .len = compat->len};
	char line[2048];
	size_t n;
	int rc = state_compat_check(kvm_fd, &view, &d->reasons, err);

	if (!rc || !d->reasons.len)
		return rc;
	wbuf_u8(&d->reasons, '\0');
	if (d->reasons.error)
		return rc;
	n = (size_t)snprintf(line, sizeof(line), "%s", destination_reasons(d));
	n = n < sizeof(line) ? n : sizeof(line) - 1;
	while (n && line[n - 1] == '\n')
		line[--n] = '\0';
	for (char *c = line; *c; c++)
		if (*c == '\n')
			*c = ';';
	channel_abort(&d->ch, rc, line);
	d->told = true;
	return err_set(err, rc, "the guest cannot run on this host");
}

int destination_meet(struct destination *d, int kvm_fd, struct vm_config *config,
		     char name[VM_NAME_MAX + 1], struct err *err)
{
	struct rbuf payload, compat, record;
	struct wbuf view;
	uint8_t late = 0;
	uint32_t type;
	int rc = channel_hello(&d->ch, err);

	if (rc)
		return rc;
	d->ch.tells = true;
	destination_happened(d, COURSE_HELLO);
	rc = channel_receive(&d->ch, &type, &payload, err);
	if (!rc && type == STREAM_ABORT) {
		struct err why = ERR_INIT;

		d->told = true;
		rc = stream_abort_decode(&payload, &why, err);
		return rc ? rc : err_set(err, -EREMOTEIO, "the source: %s", why.msg);
	}
	if (rc)
		return rc;
	destination_happened(d, type);
	if (d->course == DESTINATION_FAILED)
		return err_set(err, -EPROTO, "the source said %s where offer was due",
			       stream_type_name(type));
	rc = stream_offer_decode(&payload, &d->geometry, &late, &compat, &record, err);
	if (!rc)
		rc = check_host(d, kvm_fd, &compat, err);
	view = (struct wbuf){.data = (uint8_t *)record.data, .len = record.len};
	if (!rc)
		rc = state_config(&view, config, name, err);
	if (!rc && late)
		rc = late_offered(d, late, config, err);
	if (!rc)
		d->ch.page_size = d->geometry.page_size;
	return rc;
}

/* ---- on the loop's thread ---- */

static int do_load(struct destination *d, struct err *err)
{
	d->options = (struct state_options){.clock_advance = true};
	return state_load(d->vm, &d->state, &d->options, err);
}

static int do_run(struct destination *d, struct err *err)
{
	struct vm *vm = d->vm;

	/* Told to end, at the last moment: it never begins, and the source has a guest that can go on. */
	if (vm->end != VM_END_NONE)
		return err_set(err, -ECANCELED, "the destination was stopped");
	vm->incoming = false;
	if (d->keep_paused || d->options.paused)
		(void)vm_user_pause(vm);
	vm_hold_serial(vm, false);
	vm_resume(vm);
	return 0;
}

static void kicked(struct event_kick *kick)
{
	struct destination *d = kick->ctx;
	struct err err = ERR_INIT;
	int rc;

	if (d->call) {
		rc = d->call(d, &err);
		pthread_mutex_lock(&d->lock);
		d->call = NULL;
		d->answer = rc;
		d->answer_err = err;
		pthread_cond_broadcast(&d->answered);
		if (d->late.wake >= 0)
			(void)eventfd_write(d->late.wake, 1);
		pthread_mutex_unlock(&d->lock);
	}
}

/* ---- on the receiving thread ---- */

int destination_ask_loop(struct destination *d, int (*call)(struct destination *, struct err *),
			 struct err *err)
{
	struct err line = ERR_INIT;
	int rc, late = 0;

	pthread_mutex_lock(&d->lock);
	d->call = call;
	event_kick(&d->kick);
	if (late_is_on(d)) {
		/* The loop may itself come to wait for a page. */
		pthread_mutex_unlock(&d->lock);
		late = late_wait(d, d->course == DESTINATION_LATE_LOADING, true, &line);
		if (late && d->course == DESTINATION_LATE_LOADING)
			(void)late_end(d, NULL);
		pthread_mutex_lock(&d->lock);
	}
	while (d->call && !d->leaving)
		pthread_cond_wait(&d->answered, &d->lock);
	rc = d->call ? err_set(err, -ECANCELED, "the destination was stopped") : d->answer;
	if (!d->call && rc)
		*err = d->answer_err;
	d->call = NULL;
	pthread_mutex_unlock(&d->lock);
	/*
	 * What the loop has done is done, whatever became of the line and of faults meanwhile: a guest that it let run must not
	 * be said never to have run. Only state that was read from missing pages is none.
	 */
	if (late && (rc || d->course == DESTINATION_LATE_LOADING)) {
		*err = line;
		rc = late;
	}
	return rc;
}

static int take_state(struct destination *d, struct rbuf *payload, struct err *err)
{
	int rc;

	wbuf_bytes(&d->state, payload->data, payload->len);
	/* Nothing is to come after all. */
	if (late_is_on(d) && d->course == DESTINATION_LOADING && late_end(d, err))
		return -EIO;
	rc = d->state.error ? err_sys(err, d->state.error, "the guest's state")
			    : destination_ask_loop(d, do_load, err);
	if (rc)
		return rc;
	destination_happened(d, COURSE_TAKEN);
	return channel_send_empty(&d->ch, STREAM_LOADED, err);
}

/* COMMIT has come. If the loop does not let the guest run, it never will, and the source is told that. */
static int run(struct destination *d, struct err *err)
{
	struct err line = ERR_INIT;
	int rc = destination_ask_loop(d, do_run, err);

	if (rc)
		return rc;
	destination_happened(d, STREAM_COMMIT);
	d->told = true;
	wbuf_u64(channel_begin(&d->ch, STREAM_RUNNING), clock_now_ns() - d->paused_ns);
	if (channel_send(&d->ch, &line))
		log_line(
			&d->vm->log, LOG_WARNING,
			"migration: the guest runs here, but the source could not be told (%s): it stays paused "
			"there until lkvm stop",
			line.msg);
	if (d->course == DESTINATION_FILLING)
		return 0;
	channel_hang_up(&d->ch);
	(void)late_done(d, &line);
	if (d->running)
		d->running(d->ctx);
	return 0;
}

/* What is asked for by a message that the course allows. */
static int act(struct destination *d, uint32_t type, struct rbuf *payload, struct err *err)
{
	uint32_t round;
	int rc;

	if (type != STREAM_CHANNELS)
		channels_close_door(d);
	switch (type) {
	case STREAM_CHANNELS:
		return channels_attach(d, payload, err);
	case STREAM_PAGES:
		d->received = true;
		if (d->course != DESTINATION_COPYING && d->course != DESTINATION_LAST)
			return late_pages(d, payload, err);
		return late_is_on(d) ? late_early_pages(d, payload, err)
				     : ram_receiver_pages(d->receiver, payload, err);
	case STREAM_ROUND:
		rc = stream_u32_decode(payload, &round, err);
		if (!rc)
			rc = channels_wait(d, round, err);
		if (rc)
			return rc;
		wbuf_u32(channel_begin(&d->ch, STREAM_SEEN), round);
		return channel_send(&d->ch, err);
	case STREAM_PAUSED:
		d->paused_ns = clock_now_ns();
		return stream_nothing_decode(payload, err);
	case STREAM_MISSING:
		return late_missing(d, payload, err);
	case STREAM_STATE:
		rc = channels_wait(d, STREAM_LAST_ROUND, err);
		return rc ? rc : take_state(d, payload, err);
	default:
		return 0;
	}
}

int destination_next_message(struct destination *d, struct err *err)
{
	enum course_destination to;
	struct err why = ERR_INIT;
	struct rbuf payload;
	uint32_t type;
	int rc = late_is_on(d) ? late_wait(d, true, false, err) : 0;

	if (!rc)
		rc = channels_listen(d, err);
	if (!rc)
		rc = channel_receive(&d->ch, &type, &payload, err);
	if (!rc && type == STREAM_ABORT) {
		rc = stream_abort_decode(&payload, &why, err);
		d->told = true;
		return rc ? rc : err_set(err, -EREMOTEIO, "the source: %s", why.msg);
	}
	if (!rc && type == STREAM_COMMIT)
		rc = stream_flag_decode(&payload, &d->keep_paused, err);
	if (rc)
		return rc;
	to = course_destination_next(d->course, type);
	if (to == DESTINATION_FAILED || to == DESTINATION_BROKEN)
		return err_set(err, -EPROTO, "the source said %s where it was not due",
			       stream_type_name(type));
	if (to == DESTINATION_RUNNING || (type == STREAM_COMMIT && to == DESTINATION_FILLING))
		return run(d, err);
	destination_happened(d, type);
	return act(d, type, &payload, err);
}

static void *thread_main(void *arg)
{
	struct destination *d = arg;
	struct err err = ERR_INIT;
	int rc = fault_thread_init(d->vm, &err);

	pthread_setname_np(pthread_self(), "incoming");
	if (!rc && d->vm->confined)
		rc = confine_receiver(&err);
	if (!rc)
		rc = channel_send_empty(&d->ch, STREAM_ACCEPT, &err);
	while (!rc && d->course != DESTINATION_RUNNING && d->course != DESTINATION_FILLING)
		rc = destination_next_message(d, &err);
	if (rc) {
		if (channels_broken(d, &err))
			rc = -EIO;
		destination_happened(d, rc == -ECANCELED ? COURSE_CANCEL : COURSE_LINE);
		if (!d->told)
			channel_abort(&d->ch, rc, err.msg);
		d->told = true;
		err_prefix(&err, "migration");
		/* Nobody runs on what is there: whoever waits for more need not. */
		(void)late_end(d, NULL);
		vm_finish(d->vm, VM_END_ERROR, &err);
	} else if (d->course == DESTINATION_FILLING) {
		late_fill(d);
	}
	fault_thread_release();
	destination_idle(d);
	return NULL;
}

/* ---- what others call ---- */

int destination_start(struct destination *d, struct vm *vm, void (*running)(void *ctx), void *ctx,
		      struct err *err)
{
	int rc = ram_geometry_check(&vm->mem, &d->geometry, err);

	if (!rc)
		rc = ram_receiver_open(&vm->mem, &d->geometry, &d->receiver, err);
	d->vm = vm;
	if (!rc && d->late.uffd >= 0)
		rc = late_begin(d, err);
	if (!rc)
		rc = event_kick_init(&d->kick, &vm->loop, kicked, d, err);
	if (rc)
		return rc;
	d->started = true;
	vm->arriving = d;
	d->running = running;
	d->ctx = ctx;
	vm->incoming = true;
	vm_pause(vm);
	vm_hold_serial(vm, true);
	destination_happened(d, COURSE_BUILT);
	rc = pthread_create(&d->thread, NULL, thread_main, d);
	if (rc)
		return err_sys(err, -rc, "cannot start a thread for the migration");
	d->threaded = true;
	return 0;
}

void destination_leave(struct destination *d)
{
	if (d->threaded) {
		pthread_mutex_lock(&d->lock);
		d->leaving = true;
		channel_cancel(&d->ch);
		pthread_cond_broadcast(&d->answered);
		if (d->late.wake >= 0)
			(void)eventfd_write(d->late.wake, 1);
		pthread_mutex_unlock(&d->lock);
		pthread_join(d->thread, NULL);
		d->threaded = false;
	}
	if (d->started)
		event_kick_release(&d->kick);
	d->started = false;
	if (d->n_lanes)
		channel_cancel(&d->ch);
	channels_end(d);
	late_close(d);
	ram_receiver_close(d->receiver);
	d->receiver = NULL;
}

void destination_close(struct destination *d, const struct err *why)
{
	destination_leave(d);
	if (!d->told)
		channel_abort(&d->ch, -EIO,
			      why && why->msg[0] ? why->msg : "the destination has ended");
	channel_close(&d->ch);
	wbuf_release(&d->reasons);
	wbuf_release(&d->state);
	pthread_cond_destroy(&d->answered);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
