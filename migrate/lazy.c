/* SPDX-License-Identifier: GPL-2.0-only */
#include "migrate/lazy.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "migrate/lazy-plan.h"
#include "migrate/ram.h"
#include "vm/control.h"
#include "vm/fault.h"
#include "vm/memory-lazy.h"
#include "vm/presence.h"
#include "vm/vm.h"

/* The thread owns plan, chain and tags while it is there; the rest is constant or the loop's. */
struct lazy {
	struct vm *vm;
	struct snap_chain chain;
	struct lazy_plan plan;
	uint32_t bank;
	int uffd;
	uint8_t *tags;	       /* packed, of one chunk */
	int wake;	       /* eventfd: one of the next two has become true */
	_Atomic bool all, end; /* bring what nobody waits for, too; end the thread */
	pthread_t thread;
	bool running;		/* the thread was not joined yet */
	struct event_kick done; /* all is there */
};

/*
 * Not by vm_finish(): it waits for vCPUs that can be waiting for this very page, and meanwhile they and devices would have
 * to be given something in its place. Ending the process ends them where they wait.
 */
static _Noreturn void lost(const struct lazy *l, const struct err *why)
{
	log_line(&l->vm->log, LOG_ERROR,
		 "guest memory cannot be brought in: %s; the guest cannot go on", why->msg);
	control_server_abandon(l->vm->control);
	_exit(l->vm->memory_exit_code);
}

static int show_runs(const struct lazy *l, uint64_t off, uint64_t present, struct err *err)
{
	const struct mem *mem = &l->vm->mem;
	size_t page = mem->page_size, start, end = 0;
	int rc = 0;

	while (!rc && presence_run(&present, SNAP_CHUNK_PAGES, end, &start, &end))
		rc = mem_lazy_show(mem, l->bank, l->uffd, off + start * page, (end - start) * page,
				   err);
	return rc;
}

/* Nothing of a chunk is seen before all of it was read and found right. */
static int bring_chunk(struct lazy *l, uint64_t chunk, struct err *err)
{
	struct mem *mem = &l->vm->mem;
	uint64_t size = SNAP_CHUNK_PAGES * mem->page_size, off = chunk * size, present;
	uint64_t left = mem->banks[l->bank].spec.size - off;
	uint8_t *to = mem_lazy_ptr(mem, l->bank, off, left < size ? left : size);
	int rc = ram_load_chunk(mem, &l->chain, l->bank, chunk, to, l->tags, &present, err);

	if (rc)
		return rc;
	lazy_plan_done(&l->plan, chunk, present);
	mem->missing = l->plan.missing; /* before anybody sees a page of it */
	return show_runs(l, off, present, err);
}

static int serve_fault(struct lazy *l, uint64_t off, struct err *err)
{
	const struct mem *mem = &l->vm->mem;
	uint64_t page = off / mem->page_size;

	if (lazy_plan_wants(&l->plan, page))
		return bring_chunk(l, page / SNAP_CHUNK_PAGES, err);
	return mem_lazy_show_rest(mem, l->bank, l->uffd, off, err);
}

static int serve_faults(struct lazy *l, struct err *err)
{
	uint64_t offsets[MEM_LAZY_FAULTS];
	int n = mem_lazy_faults(&l->vm->mem, l->bank, l->uffd, offsets, err);
	int rc = n < 0 ? n : 0;

	for (int i = 0; i < n && !rc; i++)
		rc = serve_fault(l, offsets[i], err);
	return rc;
}

/* Bits: somebody waits for a page; something else is wanted. Waits for one of them unless chunks are to be fetched ahead. */
#define FAULTS 1
#define WOKEN  2
static int look(const struct lazy *l, struct err *err)
{
	struct pollfd fds[] = {{.fd = l->uffd, .events = POLLIN},
			       {.fd = l->wake, .events = POLLIN}};
	uint64_t count;

	if (poll(fds, 2, l->all ? 0 : -1) < 0)
		return errno == EINTR ? WOKEN : err_sys(err, -errno, "userfaultfd");
	if (fds[1].revents && read(l->wake, &count, sizeof(count)) < 0)
		return err_sys(err, -errno, "event");
	return (fds[0].revents ? FAULTS : 0) | (fds[1].revents ? WOKEN : 0);
}

/* Between two chunks it looks whether somebody waits. Returns with all there, or when it is told to end. */
static int serve(struct lazy *l, struct err *err)
{
	uint64_t chunk;
	int rc = 0;

	while (rc >= 0 && lazy_plan_next(&l->plan, &chunk)) {
		rc = look(l, err);
		if (l->end)
			return 0;
		if (rc > 0 && rc & FAULTS)
			rc = serve_faults(l, err);
		else if (!rc)
			rc = bring_chunk(l, chunk, err);
	}
	if (rc >= 0)
		rc = mem_lazy_complete(&l->vm->mem, l->bank, l->uffd, err);
	if (!rc)
		event_kick(&l->done);
	return rc;
}

static void *thread_main(void *arg)
{
	struct lazy *l = arg;
	struct err err = ERR_INIT;

	pthread_setname_np(pthread_self(), "lkvm-lazy");
	if (fault_thread_init(l->vm, &err) || serve(l, &err))
		lost(l, &err);
	fault_thread_release();
	return NULL;
}

/* The thread is done, or was told to be. */
static void finish(struct lazy *l)
{
	if (!l->running)
		return;
	pthread_join(l->thread, NULL);
	l->running = false;
	mem_lazy_end(&l->vm->mem, l->bank, l->uffd);
	close(l->uffd);
	snap_chain_close(&l->chain);
}

static void all_there(struct event_kick *kick)
{
	struct lazy *l = kick->ctx;

	finish(l);
	log_line(&l->vm->log, LOG_DEBUG, "all memory of the snapshot is there");
}

static int find_bank(const struct mem *mem, uint32_t *bank, struct err *err)
{
	for (*bank = 0; *bank < mem->n; ++*bank)
		if (mem->banks[*bank].spec.backing == MEM_LAZY)
			return 0;
	return err_set(err, -EINVAL, "--lazy: the machine was not built for it");
}

static int start_thread(struct lazy *l, struct err *err)
{
	int rc = mem_lazy_begin(&l->vm->mem, l->bank, l->uffd, err);

	if (rc)
		return rc;
	l->vm->mem.missing = l->plan.missing;
	rc = pthread_create(&l->thread, NULL, thread_main, l);
	if (rc) {
		mem_lazy_end(&l->vm->mem, l->bank, l->uffd);
		return err_sys(err, -rc, "--lazy: cannot start its thread");
	}
	l->running = true;
	return 0;
}

static int prepare(struct lazy *l, struct err *err)
{
	int rc = find_bank(&l->vm->mem, &l->bank, err);

	if (rc)
		return rc;
	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake < 0)
		return err_sys(err, -errno, "event");
	l->tags = malloc(SNAP_CHUNK_PAGES * l->vm->mem.page_size / 32);
	if (!l->tags)
		return err_set(err, -ENOMEM, "no memory for tags");
	rc = lazy_plan_init(&l->plan, &l->chain, l->bank, err);
	return rc ? rc : event_kick_init(&l->done, &l->vm->loop, all_there, l, err);
}

/* What finish() leaves. */
static void release(struct lazy *l)
{
	if (l->done.source.fd >= 0)
		event_kick_release(&l->done);
	if (l->wake >= 0)
		close(l->wake);
	lazy_plan_release(&l->plan);
	free(l->tags);
	free(l);
}

int lazy_start(struct vm *vm, struct snap_chain *chain, int uffd, bool prefetch, struct err *err)
{
	struct lazy *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return err_set(err, -ENOMEM, "no memory for a lazy restore");
	l->vm = vm;
	l->chain = *chain;
	l->uffd = uffd;
	l->all = prefetch;
	l->wake = l->done.source.fd = -1;
	rc = prepare(l, err);
	if (!rc)
		rc = start_thread(l, err);
	if (rc) {
		release(l);
		return rc;
	}
	chain->n = 0;
	vm->lazy = l;
	return 0;
}

static void wake(struct lazy *l)
{
	uint64_t one = 1;
	ssize_t n;

	/* EAGAIN would mean that 2^64 - 2 of them wait already. */
	n = write(l->wake, &one, sizeof(one));
	(void)n;
}

void lazy_want_all(struct lazy *lazy)
{
	if (!lazy)
		return;
	lazy->all = true;
	wake(lazy);
}

void lazy_stop(struct vm *vm)
{
	struct lazy *l = vm->lazy;

	if (!l)
		return;
	l->end = true;
	wake(l);
	finish(l);
	release(l);
	vm->lazy = NULL;
}
