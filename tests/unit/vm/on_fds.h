/* SPDX-License-Identifier: GPL-2.0-only */
/* For tests of what sits on a chardev: one that is connected to given descriptors, and an event loop with an end. */
#ifndef LKVM_TESTS_ON_FDS_H
#define LKVM_TESTS_ON_FDS_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vm/chardev.h"

static inline void on_fds_no_quit(void *ctx)
{
	(void)ctx;
	fail_msg("nobody typed Ctrl-a x");
}

/* chardev_open_stdio() with @in and @out in the places of stdin and stdout; they stay the caller's. */
static inline struct chardev *on_fds(struct event_loop *loop, struct log *log, int in, int out,
				     void (*quit)(void *), void *ctx)
{
	int saved_in, saved_out, rc;
	struct chardev *c = NULL;
	struct err err = ERR_INIT;

	fflush(stdout);
	saved_in = fcntl(0, F_DUPFD_CLOEXEC, 10);
	saved_out = fcntl(1, F_DUPFD_CLOEXEC, 10);
	dup2(in, 0);
	dup2(out, 1);
	rc = chardev_open_stdio(loop, log, quit ? quit : on_fds_no_quit, ctx, &c, &err);
	/* The test may itself have been started without a stdin. */
	if (saved_in >= 0)
		dup2(saved_in, 0);
	dup2(saved_out, 1);
	if (saved_in >= 0)
		close(saved_in);
	close(saved_out);
	if (rc)
		fail_msg("%s", err.msg);
	return c;
}

struct until {
	struct event_timer tick;
	bool (*done)(void *);
	void *ctx;
	unsigned int ticks;
};

static inline void until_tick(struct event_timer *timer)
{
	struct until *u = timer->ctx;

	if (u->done(u->ctx) || ++u->ticks > 30000)
		event_stop(timer->loop);
	else
		event_timer_arm(timer, 1000000);
}

/* Runs the loop until @done says so; fails after 30 s and more. */
static inline void run_until(struct event_loop *loop, bool (*done)(void *), void *ctx)
{
	struct until u = {.done = done, .ctx = ctx};

	assert_int_equal(event_timer_init(&u.tick, loop, until_tick, &u, NULL), 0);
	event_timer_arm(&u.tick, 0);
	assert_int_equal(event_run(loop, NULL), 0);
	event_timer_release(&u.tick);
	assert_true(done(ctx));
}

static inline bool on_fds_never(void *ctx)
{
	unsigned int *left = ctx;

	return !*left || !--*left;
}

/* Runs the loop for at least that long. */
static inline void run_ms(struct event_loop *loop, unsigned int ms)
{
	run_until(loop, on_fds_never, &ms);
}

#endif
