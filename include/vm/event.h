/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The event loop: one thread, epoll. All that is not a vCPU happens here: terminal, control socket, timers.
 *
 * A source belongs to its user, is embedded in the user's struct and must stay put while added. Callbacks run on the
 * loop's thread, one at a time; a callback may add, change and remove any source, itself included. Other threads may
 * call event_timer_arm() and event_kick() only.
 */
#ifndef LKVM_VM_EVENT_H
#define LKVM_VM_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "util/err.h"

struct event_source {
	int fd; /* belongs to the user; for timers and kicks to the source */
	void (*ready)(struct event_source *source,
		      uint32_t events); /* EPOLLIN ... as epoll gives them */
	void *ctx;
	bool added;
};

#define EVENT_BATCH 16

struct event_loop {
	int epfd;
	bool stop;
	struct epoll_event
		batch[EVENT_BATCH]; /* being handled: a source removed meanwhile is blanked here */
	int in_batch;
};

int event_loop_init(struct event_loop *loop, struct err *err);
void event_loop_release(struct event_loop *loop);

/* @events may be 0: then only EPOLLERR and EPOLLHUP come. -EPERM for what cannot be polled (a regular file). */
int event_add(struct event_loop *loop, struct event_source *source, uint32_t events);
int event_change(struct event_loop *loop, struct event_source *source, uint32_t events);
void event_remove(struct event_loop *loop, struct event_source *source);

/* Handles events until event_stop(). Returns 0 or a negative errno. */
int event_run(struct event_loop *loop, struct err *err);
/* From a callback; the events that were reported together with its own are still handled. */
void event_stop(struct event_loop *loop);

/* A one-shot timer on CLOCK_MONOTONIC. `ready` is called with the expiry already consumed. */
struct event_timer {
	struct event_source source;
	struct event_loop *loop;
	void (*expired)(struct event_timer *timer);
	void *ctx;
};

int event_timer_init(struct event_timer *timer, struct event_loop *loop,
		     void (*expired)(struct event_timer *), void *ctx, struct err *err);
void event_timer_release(struct event_timer *timer);
/* Fires once, @ns from now (0: at once); replaces what was armed. Any thread. */
void event_timer_arm(struct event_timer *timer, uint64_t ns);
void event_timer_disarm(struct event_timer *timer);

/* Calls `kicked` on the loop's thread soon after event_kick() from any thread; kicks may merge. */
struct event_kick {
	struct event_source source;
	struct event_loop *loop;
	void (*kicked)(struct event_kick *kick);
	void *ctx;
};

int event_kick_init(struct event_kick *kick, struct event_loop *loop,
		    void (*kicked)(struct event_kick *), void *ctx, struct err *err);
void event_kick_release(struct event_kick *kick);
void event_kick(struct event_kick *kick);

#endif
