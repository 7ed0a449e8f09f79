/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The destination's further connections. Whoever lets them in is another process (transport_door()): this one neither listens
 * nor connects. A thread each places pages; the first connection's thread answers a round only when all of them have come to its
 * end, so that no page of one round is placed after the same page of the next.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "migrate/destination-job.h"
#include "vm/fault.h"

#define ATTACH_MS 10000
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

/* The next connection, or a negative errno. */
static int let_in(struct destination *d, struct err *err)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *head;
	/* Until all are there the source says nothing over the first one but that it gives up. */
	int ready = channel_poll(&d->ch, true, &d->door, 1, CHANNEL_STALL_MS, err), fd;

	if (ready <= 0)
		return ready ? ready
			     : err_set(err, -ETIMEDOUT, "the further connections do not come");
	if (!(ready & 1))
		return err_set(err, -ECONNRESET,
			       "the source did not wait for the further connections");
	if (recvmsg(d->door, &msg, MSG_CMSG_CLOEXEC) <= 0)
		return err_set(err, -ECONNRESET, "the further connections do not come");
	head = CMSG_FIRSTHDR(&msg);
	if (!head || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(sizeof(int)))
		return err_set(err, -EBADMSG, "the further connections do not come");
	memcpy(&fd, CMSG_DATA(head), sizeof(fd));
	return fd;
}

/* What has come in becomes one of ours, or is closed: -EACCES. */
static int attach(struct destination *d, int fd, const uint8_t id[16], struct err *err)
{
	uint8_t bytes[STREAM_ATTACH];
	struct channel ch;
	unsigned int number;
	struct lane *lane;
	int rc = channel_open(&ch, fd, fd, err);

	if (rc)
		return rc;
	rc = channel_follow(&ch, &d->ch, err);
	if (!rc)
		rc = channel_receive_bytes(&ch, bytes, sizeof(bytes), ATTACH_MS, err);
	if (!rc)
		rc = stream_attach_decode(bytes, d->n_lanes + 1, id, &number, err);
	if (!rc && d->lanes[number - 1].open)
		rc = err_set(err, -EACCES, "connection %u comes for the second time", number);
	if (rc) {
		channel_close(&ch);
		return rc == -ECANCELED ? rc : -EACCES;
	}
	lane = &d->lanes[number - 1];
	ch.page_size = d->ch.page_size;
	lane->d = d;
	lane->ch = ch;
	lane->open = true;
	return ram_receiver_open(&d->vm->mem, &d->geometry, &lane->receiver, err);
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

static int collect(struct destination *d, const uint8_t id[16], struct err *err)
{
	unsigned int have = 0, strangers = 0;

	while (have < d->n_lanes) {
		struct err why = ERR_INIT;
		int fd = let_in(d, err), rc = fd < 0 ? fd : attach(d, fd, id, &why);

		if (!rc) {
			have++;
			continue;
		}
		if (fd < 0)
			return fd;
		if (rc != -EACCES || ++strangers > STRANGERS)
			return err_set(err, rc, "%s", why.msg);
		log_line(&d->vm->log, LOG_WARNING, "migration: sent away: %s", why.msg);
	}
	return 0;
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

int channels_wait(struct destination *d, uint32_t round, struct err *err)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += CHANNEL_STALL_MS / 1000;
	pthread_mutex_lock(&d->lock);
	while (!rc && !all_at(d, round) && !d->lane_rc && !d->leaving)
		rc = -pthread_cond_clockwait(&d->answered, &d->lock, CLOCK_MONOTONIC, &until);
	if (d->leaving)
		rc = err_set(err, -ECANCELED, "the destination was stopped");
	else if (rc && !d->lane_rc)
		err_set(err, rc, "a line stood still for %d s", CHANNEL_STALL_MS / 1000);
	pthread_mutex_unlock(&d->lock);
	return channels_broken(d, err) ? d->lane_rc : rc;
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
