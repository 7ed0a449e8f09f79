/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The destination's further connections. Whoever lets them in is another process (transport_door()): this one neither listens
 * nor connects. A thread each places pages; the first connection's thread answers a round only when all of them have come to its
 * end, so that no page of one round is placed after the same page of the next.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "migrate/destination-job.h"
#include "migrate/transport.h"
#include "util/clock.h"
#include "util/passfd.h"
#include "vm/fault.h"

#define LOOK_MS 10 /* at least so often, at those who came in and said nothing yet */
#define COLLECT_MS \
	25000 /* the source does not wait for longer than CHANNEL_STALL_MS: it is to hear why */
#define STRANGERS 16 /* that come in between, at most */

struct lane {
	struct destination *d;
	struct channel ch;
	struct ram_receiver *receiver;
	pthread_t thread;
	bool open, threaded;
	uint32_t round; /* guarded by d->lock: all pages up to this round are in their places */
};

void channels_close_door(struct destination *d)
{
	if (d->door >= 0)
		close(d->door);
	d->door = -1;
}

/* The next connection, which the door has, or -1. */
static int let_in(struct destination *d)
{
	char byte;
	int fd;

	(void)passfd_recv(d->door, &byte, 1, 0, &fd);
	return fd;
}

/* Who has said enough becomes one of ours: 0; or is sent away: -EACCES. -EAGAIN: has not. */
static int attach(struct destination *d, int fd, const uint8_t id[16], struct err *err)
{
	uint8_t bytes[STREAM_ATTACH];
	unsigned int number = 0;
	struct lane *lane;
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	int rc;

	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (n <= 0)
		return err_set(err, -ECONNRESET, "one has closed the line");
	if (n < (ssize_t)sizeof(bytes))
		return -EAGAIN;
	(void)recv(fd, bytes, sizeof(bytes), 0);
	rc = stream_attach_decode(bytes, d->n_lanes + 1, id, &number, err);
	if (rc)
		return rc;
	lane = &d->lanes[number - 1];
	if (lane->open)
		return err_set(err, -EACCES, "connection %u comes for the second time", number);
	rc = channel_open(&lane->ch, fd, fd, err);
	if (rc)
		return rc;
	lane->open = true;
	lane->d = d;
	lane->ch.page_size = d->ch.page_size;
	rc = channel_follow(&lane->ch, &d->ch, err);
	return rc ? rc : ram_receiver_open(&d->vm->mem, &d->geometry, &lane->receiver, err);
}

static int receive(struct lane *lane, struct err *err)
{
	struct destination *d = lane->d;
	struct rbuf payload;
	uint32_t type, round = 0;
	int rc = channel_receive_late(&lane->ch, &type, &payload, err);

	if (!rc && type == STREAM_PAGES)
		return ram_receiver_pages(lane->receiver, &payload, err);
	if (!rc && type != STREAM_ROUND)
		return err_set(err, -EPROTO, "the source said %s where pages were due",
			       stream_type_name(type));
	if (!rc)
		rc = stream_u32_decode(&payload, &round, err);
	if (!rc && round <= lane->round)
		rc = err_set(err, -EPROTO, "round %u comes after round %u", round, lane->round);
	if (rc)
		return rc;
	pthread_mutex_lock(&d->lock);
	lane->round = round;
	pthread_cond_broadcast(&d->answered);
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static void *lane_main(void *arg)
{
	struct lane *lane = arg;
	struct destination *d = lane->d;
	struct err err = ERR_INIT;
	/* Confined as the thread is that made it. */
	int rc = fault_thread_init(d->vm, &err);

	pthread_setname_np(pthread_self(), "incoming-more");
	while (!rc && lane->round != STREAM_LAST_ROUND)
		rc = receive(lane, &err);
	if (rc && rc != -ECANCELED) {
		pthread_mutex_lock(&d->lock);
		if (!d->lane_rc) {
			d->lane_rc = rc;
			d->lane_err = err;
		}
		/* The first connection's thread may wait for its line. */
		channel_cancel(&d->ch);
		pthread_cond_broadcast(&d->answered);
		pthread_mutex_unlock(&d->lock);
	}
	fault_thread_release();
	return NULL;
}

/* Those that have come in and not yet said who they are. Nobody waits for one of them in front of another. */
struct hall {
	int fd[2 * TRANSPORT_VISITORS]; /* the door has no more of them */
	unsigned int n, strangers;
};

static int look_around(struct destination *d, struct hall *hall, const uint8_t id[16],
		       unsigned int *have, struct err *err)
{
	unsigned int kept = 0;
	int rc = 0;

	for (unsigned int i = 0; i < hall->n; i++) {
		struct err why = ERR_INIT;
		int now = rc ? -EAGAIN : attach(d, hall->fd[i], id, &why);

		if (now == -EAGAIN) {
			hall->fd[kept++] = hall->fd[i];
		} else if (!now) {
			(*have)++;
		} else if (now == -ECONNRESET) {
			close(hall->fd[i]);
		} else if (now == -EACCES) {
			close(hall->fd[i]);
			log_line(&d->vm->log, LOG_WARNING, "migration: sent away: %s", why.msg);
			if (++hall->strangers > STRANGERS)
				rc = err_set(err, -EACCES, "%s", why.msg);
		} else { /* it is a lane's already, or was closed */
			rc = err_set(err, now, "%s", why.msg);
		}
	}
	hall->n = kept;
	return rc;
}

static int collect(struct destination *d, const uint8_t id[16], struct err *err)
{
	uint64_t until = clock_now_ns() + COLLECT_MS * 1000000ull;
	struct hall hall = {.n = 0};
	unsigned int have = 0;
	int rc = 0;

	while (!rc && have < d->n_lanes) {
		/* Until all are there the source says nothing over the first one but that it gives up. */
		int ready = channel_poll(&d->ch, true, &d->door, 1, LOOK_MS, err), fd;

		if (ready < 0)
			rc = ready;
		else if (ready & CHANNEL_LINE)
			rc = err_set(err, -ECONNRESET,
				     "the source did not wait for the further connections");
		else if (clock_now_ns() >= until)
			rc = err_set(err, -ETIMEDOUT, "the further connections do not come");
		else if (ready & 1 && hall.n < sizeof(hall.fd) / sizeof(hall.fd[0])) {
			fd = let_in(d);
			if (fd < 0)
				channels_close_door(
					d); /* nobody more: those who are here may be all */
			else
				hall.fd[hall.n++] = fd;
		}
		if (!rc)
			rc = look_around(d, &hall, id, &have, err);
	}
	for (unsigned int i = 0; i < hall.n; i++)
		close(hall.fd[i]);
	return rc;
}

int channels_attach(struct destination *d, struct rbuf *payload, struct err *err)
{
	uint8_t id[16];
	unsigned int n;
	int rc = stream_channels_decode(payload, &n, id, err);

	if (rc)
		return rc;
	if (d->lanes || d->received || late_is_on(d))
		return err_set(err, -EPROTO, "the source said channels where it was not due");
	if (d->door < 0)
		return err_set(err, -EOPNOTSUPP,
			       "over a line of this kind there is no second one: "
			       "leave --channels out");
	d->lanes = calloc(n - 1, sizeof(*d->lanes));
	if (!d->lanes)
		return err_set(err, -ENOMEM, "no memory for a migration");
	d->n_lanes = n - 1;
	rc = collect(d, id, err);
	channels_close_door(d);
	for (unsigned int i = 0; i < d->n_lanes && !rc; i++) {
		rc = pthread_create(&d->lanes[i].thread, NULL, lane_main, &d->lanes[i]);
		if (rc)
			rc = err_sys(err, -rc, "cannot start a thread for the migration");
		else
			d->lanes[i].threaded = true;
	}
	return rc ? rc : channel_send_empty(&d->ch, STREAM_ATTACHED, err);
}

static bool all_at(const struct destination *d, uint32_t round)
{
	for (unsigned int i = 0; i < d->n_lanes; i++)
		if (d->lanes[i].round < round)
			return false;
	return true;
}

/* Bytes that came in over all of them. */
static uint64_t received(const struct destination *d)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < d->n_lanes; i++)
		sum += __atomic_load_n(&d->lanes[i].ch.received_bytes, __ATOMIC_RELAXED);
	return sum;
}

/* Whether they bring anything, for whoever waits: the source is told that, and @still_ns is when they last did. */
struct progress {
	uint64_t got, still_ns;
};

static int progress(struct destination *d, struct progress *p, struct err *err)
{
	uint64_t got = received(d), now = clock_now_ns();

	if (got != p->got) {
		*p = (struct progress){.got = got, .still_ns = now};
		return channel_alive(&d->ch, err);
	}
	if (now - p->still_ns < CHANNEL_STALL_MS * 1000000ull)
		return 0;
	return err_set(err, -ETIMEDOUT, "the line stood still for %d s", CHANNEL_STALL_MS / 1000);
}

int channels_listen(struct destination *d, struct err *err)
{
	struct progress p = {.got = received(d), .still_ns = clock_now_ns()};
	int ready = 0, rc = 0;

	while (d->n_lanes && !rc && !ready) {
		ready = channel_poll(&d->ch, true, NULL, 0, CHANNEL_ALIVE_MS, err);
		rc = ready < 0 ? ready : ready ? 0 : progress(d, &p, err);
	}
	return rc;
}

/* With d->lock held: true when all are there, or no more will come. */
static bool wait_a_while(struct destination *d, uint32_t round)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += CHANNEL_ALIVE_MS / 1000;
	while (!rc && !all_at(d, round) && !d->lane_rc && !d->leaving)
		rc = pthread_cond_clockwait(&d->answered, &d->lock, CLOCK_MONOTONIC, &until);
	return all_at(d, round) || d->lane_rc || d->leaving;
}

int channels_wait(struct destination *d, uint32_t round, struct err *err)
{
	struct progress p = {.got = received(d), .still_ns = clock_now_ns()};
	bool there = false, ends = false;
	int rc = 0;

	while (!rc && !there) {
		pthread_mutex_lock(&d->lock);
		there = wait_a_while(d, round);
		ends = d->leaving;
		pthread_mutex_unlock(&d->lock);
		if (!there)
			rc = progress(d, &p, err);
	}
	if (channels_broken(d, err))
		return -EIO;
	return ends ? err_set(err, -ECANCELED, "the destination was stopped") : rc;
}

bool channels_broken(struct destination *d, struct err *err)
{
	bool broken;

	pthread_mutex_lock(&d->lock);
	broken = d->lane_rc != 0;
	if (broken)
		err_set(err, d->lane_rc, "one of several connections: %s", d->lane_err.msg);
	pthread_mutex_unlock(&d->lock);
	return broken;
}

void channels_end(struct destination *d)
{
	for (unsigned int i = 0; i < d->n_lanes; i++) {
		struct lane *lane = &d->lanes[i];

		if (lane->threaded)
			pthread_join(lane->thread, NULL);
		if (lane->open)
			channel_close(&lane->ch);
		ram_receiver_close(lane->receiver);
	}
	free(d->lanes);
	d->lanes = NULL;
	d->n_lanes = 0;
	channels_close_door(d);
}
