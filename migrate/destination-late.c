/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The destination of post-copy: the guest runs, the receiving thread serves who waits for a page and takes what comes
 * (vm/memory-lazy.h), until all is there. When the line is lost meanwhile the guest stands still, vCPUs that wait for pages
 * where they are, and the thread waits for a new line.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "migrate/destination-job.h"
#include "util/clock.h"
#include "util/confine.h"
#include "vm/fault.h"
#include "vm/memory-lazy.h"
#include "vm/presence.h"

#define MS 1000000ull

/* ---- on the loop's thread ---- */

static void wake(struct destination *d)
{
	(void)eventfd_write(d->late.wake, 1);
}

/* All vCPUs were told to end. */
static void let_go(struct vm *vm)
{
	struct destination *d = vm->arriving;

	pthread_mutex_lock(&d->lock);
	d->leaving = true;
	channel_cancel(&d->ch);
	pthread_cond_broadcast(&d->answered);
	wake(d);
	pthread_mutex_unlock(&d->lock);
}

int late_offered(struct destination *d, uint8_t offered, struct vm_config *config, struct err *err)
{
	if (config->hugetlbfs)
		return err_set(
			err, -EOPNOTSUPP,
			"--postcopy: guest memory of hugetlbfs cannot come late; leave --postcopy out");
	d->late.bank = offered - 1u;
	config->lazy = true;
	return mem_lazy_open("--postcopy", &d->late.uffd, err);
}

int late_begin(struct destination *d, struct err *err)
{
	const struct mem *mem = &d->vm->mem;
	struct late *l = &d->late;
	int rc;

	if (l->bank >= mem->n || mem->banks[l->bank].spec.backing != MEM_LAZY)
		return err_set(err, -EBADMSG,
			       "--postcopy: the source names another bank of memory");
	rc = late_map_init(&l->map, mem->banks[l->bank].spec.size / mem->page_size, err);
	if (rc)
		return rc;
	l->received = calloc(l->map.words, 8);
	if (!l->received)
		return err_set(err, -ENOMEM, "no memory for post-copy");
	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake < 0)
		return err_sys(err, -errno, "event");
	rc = mem_lazy_begin(&d->vm->mem, l->bank, l->uffd, err);
	if (!rc)
		d->vm->let_go = let_go;
	return rc;
}

void late_close(struct destination *d)
{
	struct late *l = &d->late;

	if (d->vm && d->vm->shift == VM_SHIFT_BROKEN) {
		/* The guest has ended or reset with its line lost: the next boot does not stand still for that. */
		d->vm->shift = VM_SHIFT_NONE;
		vm_resume(d->vm);
	}
	if (d->vm && l->map.todo) {
		d->vm->let_go = NULL;
		mem_lazy_end(&d->vm->mem, l->bank, l->uffd);
	}
	if (l->uffd >= 0)
		close(l->uffd);
	l->uffd = -1;
	if (l->wake >= 0)
		close(l->wake);
	l->wake = -1;
	if (l->joining >= 0)
		close(l->joining);
	l->joining = -1;
	late_map_release(&l->map);
	free(l->received);
	l->received = NULL;
}

static int do_broken(struct destination *d, struct err *err)
{
	(void)err;
	vm_pause_begin(d->vm);
	d->vm->shift = VM_SHIFT_BROKEN;
	return 0;
}

static int do_joined(struct destination *d, struct err *err)
{
	(void)err;
	d->vm->shift = VM_SHIFT_NONE;
	vm_resume(d->vm);
	return 0;
}

static int do_full(struct destination *d, struct err *err)
{
	(void)err;
	d->vm->let_go = NULL;
	mem_lazy_end(&d->vm->mem, d->late.bank, d->late.uffd);
	close(d->late.uffd);
	d->late.uffd = -1;
	return 0;
}

/* ---- on the receiving thread ---- */

static bool leaving(struct destination *d)
{
	bool is;

	pthread_mutex_lock(&d->lock);
	is = d->leaving;
	pthread_mutex_unlock(&d->lock);
	return is;
}

int late_end(struct destination *d, struct err *err)
{
	if (!late_is_on(d))
		return 0;
	d->late.over = true;
	return mem_lazy_complete(&d->vm->mem, d->late.bank, d->late.uffd, err);
}

int late_early_pages(struct destination *d, struct rbuf *payload, struct err *err)
{
	struct rbuf look = *payload;
	int rc = ram_receiver_pages(d->receiver, payload, err);
	uint8_t bank = rbuf_u8(&look);
	uint64_t chunk, here;

	(void)rbuf_u8(&look); /* the codec */
	chunk = rbuf_u64(&look);
	here = rbuf_u64(&look);
	if (!rc && bank == d->late.bank)
		d->late.received[chunk] |= here | rbuf_u64(&look);
	return rc;
}

/* What came before and was written to since is dropped, data and tags: who touches it has to wait for what it is now. */
int late_missing(struct destination *d, struct rbuf *payload, struct err *err)
{
	size_t page = d->vm->mem.page_size, n, start, end;
	struct late *l = &d->late;
	uint64_t first;
	int rc;

	if (!late_is_on(d))
		return err_set(err, -EPROTO, "post-copy was not announced");
	rc = late_map_hear(&l->map, payload, &first, &n, err);
	for (uint64_t word = first; !rc && word < first + n; word++) {
		uint64_t drop = l->received[word] & l->map.todo[word];

		l->received[word] &= ~drop;
		end = 0;
		while (!rc && presence_run(&drop, 64, end, &start, &end))
			rc = mem_lazy_drop(&d->vm->mem, l->bank, (word * 64 + start) * page,
					   (end - start) * page, err);
	}
	d->vm->mem.missing = l->map.left;
	return rc;
}

static int show_runs(struct destination *d, uint64_t word, uint64_t bits, struct err *err)
{
	const struct mem *mem = &d->vm->mem;
	size_t page = mem->page_size, start, end = 0;
	int rc = 0;

	while (!rc && presence_run(&bits, 64, end, &start, &end))
		rc = mem_lazy_show(mem, d->late.bank, d->late.uffd, (word * 64 + start) * page,
				   (end - start) * page, err);
	return rc;
}

int late_pages(struct destination *d, struct rbuf *payload, struct err *err)
{
	struct late *l = &d->late;
	struct stream_pages p;
	unsigned int kept = 0;
	int rc;

	if (!late_is_on(d))
		return err_set(err, -EPROTO, "post-copy was not announced");
	rc = ram_receiver_late(d->receiver, l->bank, &l->map, payload, &p, err);
	if (rc)
		return rc;
	l->received[p.chunk] |= p.here;
	d->vm->mem.missing = l->map.left; /* before anybody sees a page of it */
	rc = show_runs(d, p.chunk, p.here, err);
	for (unsigned int i = 0; i < l->n_asked; i++) {
		uint64_t at = l->asked[i];

		if (at / 64 != p.chunk || !((p.here | p.zero) >> at % 64 & 1))
			l->asked[kept++] = at;
		else if (!rc && p.zero >> at % 64 & 1)
			rc = mem_lazy_show_rest(&d->vm->mem, l->bank, l->uffd,
						at * d->vm->mem.page_size, err);
	}
	l->n_asked = kept;
	return rc;
}

static bool was_asked(const struct late *l, uint64_t page)
{
	for (unsigned int i = 0; i < l->n_asked; i++)
		if (l->asked[i] == page)
			return true;
	return false;
}

static int ask_for(struct destination *d, const uint64_t *page, size_t n, struct err *err)
{
	if (!n || d->course == DESTINATION_BROKEN)
		return 0; /* it is asked for when there is a line again */
	stream_request_encode(channel_begin(&d->ch, STREAM_REQUEST), page, n);
	return channel_send(&d->ch, err);
}

/* A page that is here but was not seen yet, with its neighbours; or one that is nowhere, and zero. */
static int show_own(struct destination *d, uint64_t page, struct err *err)
{
	const struct late *l = &d->late;

	if (l->received[page / 64] >> page % 64 & 1)
		return show_runs(d, page / 64, l->received[page / 64], err);
	return mem_lazy_show_rest(&d->vm->mem, l->bank, l->uffd, page * d->vm->mem.page_size, err);
}

static int serve_faults(struct destination *d, struct err *err)
{
	uint64_t offsets[MEM_LAZY_FAULTS], wanted[STREAM_REQUEST_PAGES];
	struct late *l = &d->late;
	size_t n_wanted = 0;
	int n = mem_lazy_faults(&d->vm->mem, l->bank, l->uffd, offsets, err);
	int rc = n < 0 ? n : 0;

	for (int i = 0; i < n && !rc; i++) {
		uint64_t page = offsets[i] / d->vm->mem.page_size;

		if (!late_map_wants(&l->map, page)) {
			rc = show_own(d, page, err);
		} else if (!was_asked(l, page)) {
			wanted[n_wanted++] = l->asked[l->n_asked++] = page;
			l->faults++;
		}
	}
	return rc ? rc : ask_for(d, wanted, n_wanted, err);
}

static bool is_over(struct destination *d, bool line, bool answer)
{
	bool over;

	pthread_mutex_lock(&d->lock);
	over = answer ? !d->call : !line && d->late.joining >= 0;
	pthread_mutex_unlock(&d->lock);
	return over;
}

int late_wait(struct destination *d, bool line, bool answer, struct err *err)
{
	uint64_t until = clock_now_ns() + CHANNEL_STALL_MS * MS, now;
	struct late *l = &d->late;
	int rc = 0, ready;

	while (!rc && !is_over(d, line, answer)) {
		/* What cannot be asked for now waits in the kernel. */
		bool room = l->n_asked + MEM_LAZY_FAULTS <= LATE_REQUESTS;
		const int fds[] = {room ? l->uffd : -1, l->wake};
		eventfd_t count;

		if (leaving(d))
			return err_set(err, -ECANCELED, "the guest has ended");
		now = clock_now_ns();
		if (line && now >= until)
			return err_set(err, -ETIMEDOUT, "the line stood still for %d s",
				       CHANNEL_STALL_MS / 1000);
		ready = channel_poll(&d->ch, line, fds, 2,
				     line ? (int)((until - now) / MS) + 1 : -1, err);
		rc = ready < 0 ? ready : 0;
		if (!rc && ready & 2)
			(void)eventfd_read(l->wake, &count);
		if (!rc && ready & 1)
			rc = serve_faults(d, err);
		if (!rc && ready & CHANNEL_LINE) {
			if (!answer)
				return 0;
			rc = destination_next_message(d, err);
			until = clock_now_ns() + CHANNEL_STALL_MS * MS;
		}
	}
	return rc;
}

int late_done(struct destination *d, struct err *err)
{
	return d->late.uffd >= 0 ? destination_ask_loop(d, do_full, err) : 0;
}

/* Who waits for us with --detach need not any more. */
static void set_free(struct destination *d)
{
	if (!d->late.freed && d->running)
		d->running(d->ctx);
	d->late.freed = true;
}

static void all_there(struct destination *d)
{
	struct err err = ERR_INIT;
	uint64_t pages = 0;

	if (late_end(d, &err)) {
		log_line(&d->vm->log, LOG_ERROR, "migration: %s", err.msg);
		vm_finish(d->vm, VM_END_ERROR, &err);
		return;
	}
	for (uint64_t i = 0; i < d->late.map.words; i++)
		pages += (uint64_t)__builtin_popcountll(d->late.map.announced[i]);
	if (channel_send_empty(&d->ch, STREAM_COMPLETE, &err))
		log_line(
			&d->vm->log, LOG_WARNING,
			"migration: all memory is here, but the source could not be told (%s): it stays "
			"paused there until lkvm stop, or --recover",
			err.msg);
	destination_happened(d, COURSE_FULL);
	channel_hang_up(&d->ch);
	log_line(&d->vm->log, LOG_INFO,
		 "migration: all memory is here: %" PRIu64 " pages came late, %" PRIu64
		 " of them were waited for",
		 pages, d->late.faults);
	(void)late_done(d, &err);
	set_free(d);
}

static void broken(struct destination *d, const struct err *why)
{
	struct vm *vm = d->vm;
	struct err err = ERR_INIT;

	destination_happened(d, COURSE_LINE);
	channel_hang_up(&d->ch);
	log_line(
		&vm->log, LOG_WARNING,
		"migration: the line was lost (%.120s): the guest stands still, %" PRIu64
		" KiB of its memory are still at the source. Join them: lkvm incoming SRC --recover %s here, lkvm migrate "
		"NAME DEST --recover there (ssh:// needs only that)",
		why->msg, d->late.map.left * vm->mem.page_size >> 10, vm->name);
	(void)destination_ask_loop(d, do_broken, &err);
	set_free(d);
}

/* The new connection takes the old one's place. */
static int take_line(struct destination *d, struct err *err)
{
	int rc;

	pthread_mutex_lock(&d->lock);
	channel_close(&d->ch);
	rc = channel_open(&d->ch, d->late.joining, d->late.joining, err);
	d->late.joining = -1;
	d->ch.page_size = d->geometry.page_size;
	if (!rc && d->leaving)
		channel_cancel(&d->ch);
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static int meet_again(struct destination *d, struct err *err)
{
	uint8_t id[16];
	struct rbuf payload;
	uint32_t type;
	int rc = channel_hello(&d->ch, err);

	if (!rc)
		rc = channel_receive(&d->ch, &type, &payload, err);
	if (!rc && type != STREAM_REJOIN)
		rc = err_set(err, -EPROTO, "the source said %s where rejoin was due",
			     stream_type_name(type));
	if (!rc)
		rc = stream_rejoin_decode(&payload, id, err);
	if (!rc && memcmp(id, d->geometry.uuid, sizeof(id)))
		rc = err_set(err, -EXDEV, "this VM's memory is not that of the VM that joins");
	return rc;
}

static int join(struct destination *d, struct err *err)
{
	struct late *l = &d->late;
	int rc = take_line(d, err);

	if (!rc)
		rc = meet_again(d, err);
	if (!rc)
		rc = late_map_tell(&l->map, &d->ch, err);
	if (!rc)
		rc = channel_send_empty(&d->ch, STREAM_JOINED, err);
	if (rc) {
		channel_abort(&d->ch, rc, err->msg);
		channel_hang_up(&d->ch);
		return rc;
	}
	destination_happened(d, COURSE_JOINED);
	d->ch.tells = true;
	for (unsigned int i = 0; i < l->n_asked && !rc; i += STREAM_REQUEST_PAGES) {
		unsigned int n = l->n_asked - i;

		rc = ask_for(d, l->asked + i, n < STREAM_REQUEST_PAGES ? n : STREAM_REQUEST_PAGES,
			     err);
	}
	if (!rc)
		rc = destination_ask_loop(d, do_joined, err);
	if (rc) {
		channel_hang_up(&d->ch);
		destination_happened(d, COURSE_LINE);
	} else {
		log_line(&d->vm->log, LOG_INFO, "migration: joined again, the guest goes on");
	}
	return rc;
}

/* True when it goes on, false when the guest has ended. */
static bool wait_for_line(struct destination *d)
{
	for (;;) {
		struct err err = ERR_INIT;

		if (late_wait(d, false, false, &err)) {
			if (leaving(d))
				return false;
			log_line(&d->vm->log, LOG_ERROR, "migration: %s", err.msg);
			vm_finish(d->vm, VM_END_ERROR, &err);
			return false;
		}
		if (!join(d, &err))
			return true;
		log_line(&d->vm->log, LOG_WARNING, "migration: could not be joined: %s", err.msg);
	}
}

void late_fill(struct destination *d)
{
	struct err err = ERR_INIT;
	int rc;

	do {
		for (rc = 0; !rc && d->late.map.left;)
			rc = destination_next_message(d, &err);
		if (!rc) {
			all_there(d);
			return;
		}
		if (leaving(d))
			break;
		broken(d, &err);
	} while (wait_for_line(d));
	/* The vCPUs were told to end, and do so as soon as they wait no more. Nobody needs the rest. */
	(void)late_end(d, NULL);
	if (d->course == DESTINATION_FILLING)
		channel_farewell(&d->ch, STREAM_COMPLETE);
	destination_happened(d, COURSE_FULL);
}

/* Its last word was lost: it says it again. */
static void *answer_main(void *arg)
{
	struct destination *d = arg;
	struct err err = ERR_INIT;
	int rc = take_line(d, &err);

	pthread_setname_np(pthread_self(), "incoming");
	if (!rc && d->vm->confined)
		rc = confine_receiver(&err);
	if (!rc)
		rc = meet_again(d, &err);
	if (!rc)
		channel_farewell(&d->ch, STREAM_COMPLETE);
	else
		channel_abort(&d->ch, rc, err.msg);
	channel_hang_up(&d->ch);
	destination_idle(d);
	return NULL;
}

/* The loop waits for nobody: a thread that is still at the last line may even be waiting for the loop. */
static int answer(struct destination *d, int fd, struct err *err)
{
	bool idle;
	int rc;

	pthread_mutex_lock(&d->lock);
	idle = d->idle || !d->threaded;
	pthread_mutex_unlock(&d->lock);
	if (!idle) {
		close(fd);
		return err_set(err, -EBUSY, "another line is being answered; try again");
	}
	if (d->threaded)
		pthread_join(d->thread, NULL);
	d->threaded = d->idle = false;
	if (d->late.joining >= 0)
		close(d->late.joining); /* it came when all was there */
	d->late.joining = fd;
	rc = pthread_create(&d->thread, NULL, answer_main, d);
	if (rc) {
		close(fd);
		d->late.joining = -1;
		return err_sys(err, -rc, "cannot start a thread for the migration");
	}
	d->threaded = true;
	return 0;
}

int destination_join(struct destination *d, int fd, struct err *err)
{
	static const uint8_t none[16];
	bool full;

	if (!memcmp(d->geometry.uuid, none, sizeof(none)) || d->course < DESTINATION_FILLING ||
	    d->course == DESTINATION_FAILED) {
		close(fd);
		return err_set(err, -ENOENT, "this VM waits for nobody's memory");
	}
	pthread_mutex_lock(&d->lock);
	full = d->course == DESTINATION_RUNNING;
	if (!full) {
		if (d->late.joining >= 0)
			close(d->late.joining);
		d->late.joining = fd;
		/* What a user gives us takes the place of a line that may be dead. */
		if (d->course == DESTINATION_FILLING)
			channel_cancel(&d->ch);
		wake(d);
	}
	pthread_mutex_unlock(&d->lock);
	return full ? answer(d, fd, err) : 0;
}
