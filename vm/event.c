/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vm/event.h"

#define NS_PER_S 1000000000ull

int event_loop_init(struct event_loop *loop, struct err *err)
{
	memset(loop, 0, sizeof(*loop));
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0)
		return err_sys(err, -errno, "event loop");
	return 0;
}

void event_loop_release(struct event_loop *loop)
{
	close(loop->epfd);
	loop->epfd = -1;
}

static int control(struct event_loop *loop, int op, struct event_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(loop->epfd, op, source->fd, &event) < 0 ? -errno : 0;
}

int event_add(struct event_loop *loop, struct event_source *source, uint32_t events)
{
	int rc = control(loop, EPOLL_CTL_ADD, source, events);

	if (!rc)
		source->added = true;
	return rc;
}

int event_change(struct event_loop *loop, struct event_source *source, uint32_t events)
{
	return control(loop, EPOLL_CTL_MOD, source, events);
}

void event_remove(struct event_loop *loop, struct event_source *source)
{
	if (!source->added)
		return;
	(void)control(loop, EPOLL_CTL_DEL, source, 0);
	source->added = false;
	/* Its event may be in the batch that is being handled, and its memory gone by then. */
	for (int i = 0; i < loop->in_batch; i++)
		if (loop->batch[i].data.ptr == source)
			loop->batch[i].data.ptr = NULL;
}

int event_run(struct event_loop *loop, struct err *err)
{
	int rc = 0;

	while (!loop->stop) {
		int n = epoll_wait(loop->epfd, loop->batch, EVENT_BATCH, -1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = err_sys(err, -errno, "waiting for events");
			break;
		}
		loop->in_batch = n;
		/* After a stop the batch is still finished: an edge (EPOLLET) is reported only once. */
		for (int i = 0; i < n; i++) {
			struct event_source *source = loop->batch[i].data.ptr;

			if (source)
				source->ready(source, loop->batch[i].events);
		}
		loop->in_batch = 0;
	}
	loop->stop = false;
	return rc;
}

void event_stop(struct event_loop *loop)
{
	loop->stop = true;
}

static void timer_ready(struct event_source *source, uint32_t events)
{
	struct event_timer *timer = source->ctx;
	uint64_t expiries;

	(void)events;
	/* Nothing to read: another thread has armed it anew, or taken it back, since it went off. */
	if (read(source->fd, &expiries, sizeof(expiries)) == sizeof(expiries))
		timer->expired(timer);
}

int event_timer_init(struct event_timer *timer, struct event_loop *loop,
		     void (*expired)(struct event_timer *), void *ctx, struct err *err)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_sys(err, -errno, "timer");
	*timer = (struct event_timer){
		.source = {.fd = fd, .ready = timer_ready, .ctx = timer},
		.loop = loop,
		.expired = expired,
		.ctx = ctx,
	};
	rc = event_add(loop, &timer->source, EPOLLIN);
	if (rc) {
		close(fd);
		timer->source.fd = -1;
		return err_sys(err, rc, "timer");
	}
	return 0;
}

void event_timer_release(struct event_timer *timer)
{
	event_remove(timer->loop, &timer->source);
	close(timer->source.fd);
	timer->source.fd = -1;
}

static void set_timer(struct event_timer *timer, const struct itimerspec *when)
{
	/* It fails for a bad descriptor or a bad time only, and these are neither. */
	(void)timerfd_settime(timer->source.fd, 0, when, NULL);
}

void event_timer_arm(struct event_timer *timer, uint64_t ns)
{
	struct itimerspec when = {
		.it_value.tv_sec = (time_t)(ns / NS_PER_S),
		.it_value.tv_nsec = (long)(ns % NS_PER_S),
	};

	/* To the kernel zero means disarmed. */
	if (!ns)
		when.it_value.tv_nsec = 1;
	set_timer(timer, &when);
}

void event_timer_disarm(struct event_timer *timer)
{
	set_timer(timer, &(struct itimerspec){0});
}

static void kick_ready(struct event_source *source, uint32_t events)
{
	struct event_kick *kick = source->ctx;
	uint64_t kicks;

	(void)events;
	if (read(source->fd, &kicks, sizeof(kicks)) == sizeof(kicks))
		kick->kicked(kick);
}

int event_kick_init(struct event_kick *kick, struct event_loop *loop,
		    void (*kicked)(struct event_kick *), void *ctx, struct err *err)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_sys(err, -errno, "event");
	*kick = (struct event_kick){
		.source = {.fd = fd, .ready = kick_ready, .ctx = kick},
		.loop = loop,
		.kicked = kicked,
		.ctx = ctx,
	};
	rc = event_add(loop, &kick->source, EPOLLIN);
	if (rc) {
		close(fd);
		kick->source.fd = -1;
		return err_sys(err, rc, "event");
	}
	return 0;
}

void event_kick_release(struct event_kick *kick)
{
	event_remove(kick->loop, &kick->source);
	close(kick->source.fd);
	kick->source.fd = -1;
}

void event_kick(struct event_kick *kick)
{
	uint64_t one = 1;
	ssize_t n;

	/* EAGAIN would mean that 2^64 - 2 kicks wait already. */
	n = write(kick->source.fd, &one, sizeof(one));
	(void)n;
}
