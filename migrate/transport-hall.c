/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The side that waits, and who connects to it: anybody. Each gets time to show that he is a source, and nobody waits for another.
 * What the first bytes are is looked at and left there, for those who read (migrate/destination.c) are confined by then.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migrate/transport.h"
#include "state/stream.h"
#include "util/clock.h"

#define PEEK_MS	  10
#define NS_PER_MS 1000000ull

static void leave(struct transport_hall *hall, unsigned int i)
{
	hall->n--;
	memmove(hall->v + i, hall->v + i + 1, (hall->n - i) * sizeof(hall->v[0]));
}

static void send_away(struct transport_hall *hall, unsigned int i)
{
	close(hall->v[i].fd);
	if (hall->v[i].status >= 0)
		close(hall->v[i].status);
	leave(hall, i);
}

/* When @lines_ms are over. */
static uint64_t lines_end_ns(const struct transport_hall *hall)
{
	return hall->lines_ns + hall->lines_ms * NS_PER_MS;
}

static void tell_rest(struct transport_hall *hall)
{
	char text[64];

	if (clock_now_ns() < lines_end_ns(hall))
		return;
	if (hall->unsaid) {
		snprintf(text, sizeof(text), "%u more who connected", hall->unsaid);
		hall->sent_away(text);
	}
	hall->said = hall->unsaid = 0;
}

/* Strangers may come by the thousand, and whoever keeps our lines is not to run out of room. */
static void tell(struct transport_hall *hall, const char *why)
{
	tell_rest(hall);
	if (!hall->said)
		hall->lines_ns = clock_now_ns();
	if (hall->said < TRANSPORT_LINES) {
		hall->said++;
		hall->sent_away(why);
	} else {
		hall->unsaid++;
	}
}

void transport_hall_close(struct transport_hall *hall)
{
	while (hall->n)
		send_away(hall, hall->n - 1);
}

/* What lkvm-tls says, once it says something. */
static int hear(struct transport_visitor *v, struct err *err)
{
	struct pollfd p = {.fd = v->status, .events = POLLIN};
	int rc;

	if (v->status < 0)
		return 0;
	if (poll(&p, 1, 0) <= 0)
		return -EAGAIN;
	rc = transport_tls_hear(v->status, err);
	v->status = -1;
	return rc;
}

/* 0: a source; -EAGAIN: not yet known; -EREMOTEIO: none, @err says why. Else it is our own fault. */
static int look(struct transport_visitor *v, struct err *err)
{
	struct pollfd p = {.fd = v->fd, .events = POLLRDHUP};
	uint8_t bytes[STREAM_HELLO];
	int rc = hear(v, err);
	ssize_t n;

	if (rc)
		return rc;
	n = recv(v->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN) {
		/* What poll(2) sees but cannot be read, such as a unix socket's urgent byte, is not to wake us for ever. */
		p.events |= POLLIN;
		v->some = poll(&p, 1, 0) > 0 && p.revents & POLLIN;
		return -EAGAIN;
	}
	/* One that had said all and is gone is nobody any more: the next one may be he again. */
	if (n > 0 && stream_hello_begin_check(bytes, (size_t)n, err))
		return -EREMOTEIO;
	if (n <= 0 || poll(&p, 1, 0) > 0)
		return err_set(err, -EREMOTEIO, "who connected has closed the line");
	v->some = n < (ssize_t)sizeof(bytes);
	return v->some ? -EAGAIN : 0;
}

/* Until something happens. */
static int wait(const struct transport_listener *l, int ends, const struct transport_hall *hall,
		bool *comes, struct err *err)
{
	struct pollfd p[2 + TRANSPORT_VISITORS] = {{.fd = l->fd, .events = POLLIN},
						   {.fd = ends, .events = POLLIN}};
	uint64_t now = clock_now_ns(), until = hall->unsaid ? lines_end_ns(hall) : UINT64_MAX;

	for (unsigned int i = 0; i < hall->n; i++) {
		const struct transport_visitor *v = &hall->v[i];
		/* Of part of a hello the rest cannot be waited for: it can be read already. */
		uint64_t next = v->some ? now + PEEK_MS * NS_PER_MS : v->until_ns;

		p[2 + i].fd = v->status >= 0 ? v->status : v->fd;
		p[2 + i].events = v->some ? POLLRDHUP : POLLIN | POLLRDHUP;
		until = next < until ? next : until;
	}
	if (poll(p, 2 + hall->n,
		 until == UINT64_MAX
			 ? -1
			 : (int)((until > now ? until - now : 0) / NS_PER_MS) + 1) < 0 &&
	    errno != EINTR)
		return err_sys(err, -errno, "%s", l->where);
	if (p[1].revents)
		return err_set(err, -ECANCELED, "ended while it waited");
	*comes = p[0].revents;
	return 0;
}

static int let_in(const struct transport *t, struct transport_listener *l,
		  struct transport_hall *hall, struct err *err)
{
	struct transport_visitor v;
	int rc = transport_enter(t, l, &v, err);

	if (rc)
		return rc == -EAGAIN ? 0 : rc;
	/* Who is full of those that say nothing would not hear who does. */
	if (hall->n == TRANSPORT_VISITORS) {
		tell(hall, "who connected said nothing, and others wait");
		send_away(hall, 0);
	}
	v.until_ns = clock_now_ns() + hall->ms * NS_PER_MS;
	hall->v[hall->n++] = v;
	return 0;
}

int transport_wait(const struct transport *t, struct transport_listener *l, int ends,
		   struct transport_hall *hall, int *fd, struct err *err)
{
	for (;;) {
		bool comes = false;
		int rc = wait(l, ends, hall, &comes, err);

		for (unsigned int i = 0; !rc && i < hall->n;) {
			struct err why = ERR_INIT;

			rc = look(&hall->v[i], &why);
			if (!rc) {
				*fd = hall->v[i].fd;
				leave(hall, i);
				return 0;
			}
			if (rc == -EAGAIN && clock_now_ns() >= hall->v[i].until_ns)
				rc = err_set(&why, -EREMOTEIO,
					     "who connected did not say what a migration begins "
					     "with within %u s",
					     hall->ms / 1000);
			if (rc == -EREMOTEIO) {
				tell(hall, why.msg);
				send_away(hall, i);
			} else if (rc == -EAGAIN) {
				i++;
			} else {
				err_set(err, rc, "%s", why.msg);
				break;
			}
			rc = 0;
		}
		tell_rest(hall);
		if (!rc && comes)
			rc = let_in(t, l, hall, err);
		if (rc) {
			transport_hall_close(hall);
			return rc;
		}
	}
}
