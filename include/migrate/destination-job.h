/* SPDX-License-Identifier: GPL-2.0-only */
/* What migrate/destination*.c share, and nobody else sees. */
#ifndef LKVM_MIGRATE_DESTINATION_JOB_H
#define LKVM_MIGRATE_DESTINATION_JOB_H

#include <pthread.h>

#include "migrate/channel.h"
#include "migrate/destination.h"
#include "migrate/late-map.h"
#include "migrate/ram-move.h"
#include "migrate/state.h"
#include "state/course.h"
#include "vm/vm.h"

#define LATE_REQUESTS 32 /* pages that were asked for and have not come, at most */

/* Post-copy: the receiving thread's, but for what is marked. */
struct late {
	int uffd; /* or -1: no post-copy was announced */
	uint32_t bank;
	struct late_map map;
	uint64_t *received; /* a bit a page that came before the switch-over, and stands */
	uint64_t asked[LATE_REQUESTS];
	unsigned int n_asked;
	uint64_t faults; /* pages that were asked for in all */
	int wake;	 /* eventfd: the loop has answered, or wants something */
	bool over;	 /* all is there, or nobody needs it */
	bool freed;	 /* running() was called */
	int joining;	 /* guarded by lock: a new connection, or -1 */
};

struct destination {
	struct channel ch;
	struct snap_info geometry;
	struct wbuf reasons;
	bool told; /* the source has heard how it ended */

	struct vm *vm; /* once there is one */
	void (*running)(void *ctx);
	void *ctx;
	pthread_t thread;
	bool threaded, started;
	struct ram_receiver *receiver;
	struct event_kick kick;
	uint64_t paused_ns; /* the source's pause was heard of */
	struct wbuf state;
	bool keep_paused;
	struct state_options options;
	struct late late;
	bool received;	    /* a page */
	int door;	    /* where further connections come from (transport_door()), or -1 */
	struct lane *lanes; /* those connections: migrate/destination-channels.c */
	unsigned int n_lanes;

	/* Guarded by lock. */
	pthread_mutex_t lock;
	pthread_cond_t answered;
	enum course_destination course;
	int (*call)(struct destination *d, struct err *err);
	int answer;
	struct err answer_err;
	bool leaving;
	bool idle;   /* the thread has nothing more to do, and ends at once */
	int lane_rc; /* one of the lanes is broken */
	struct err lane_err;
};

/* migrate/destination.c, on the receiving thread. */
void destination_happened(struct destination *d, unsigned int event);
void destination_idle(struct destination *d); /* the last thing that the thread does */
int destination_ask_loop(struct destination *d, int (*call)(struct destination *, struct err *),
			 struct err *err);
int destination_next_message(struct destination *d, struct err *err);

/* migrate/destination-channels.c: CHANNELS came; until all lanes have come to the end of @round; the error of one, if there is. */
int channels_attach(struct destination *d, struct rbuf *payload, struct err *err);
int channels_wait(struct destination *d, uint32_t round, struct err *err);
/* Until something comes over the first line, as long as the others bring something. */
int channels_listen(struct destination *d, struct err *err);
bool channels_broken(struct destination *d, struct err *err);
void channels_close_door(struct destination *d);
/* All have ended, or channel_cancel() was called. */
void channels_end(struct destination *d);

/* migrate/destination-late.c: post-copy was announced for the bank @offered - 1; before and after the machine is built. */
int late_offered(struct destination *d, uint8_t offered, struct vm_config *config, struct err *err);
int late_begin(struct destination *d, struct err *err);
void late_close(struct destination *d);
static inline bool late_is_on(const struct destination *d)
{
	return d->late.uffd >= 0 && !d->late.over;
}
int late_missing(struct destination *d, struct rbuf *payload, struct err *err);
/* Before the switch-over, and after it. */
int late_early_pages(struct destination *d, struct rbuf *payload, struct err *err);
int late_pages(struct destination *d, struct rbuf *payload, struct err *err);
/*
 * Until a message comes, or, with @answer, the loop has answered; who waits for pages is served meanwhile. -ECANCELED: the
 * guest has ended here.
 */
int late_wait(struct destination *d, bool line, bool answer, struct err *err);
/* Nothing is missing, or nobody will run on what is: the kernel serves all. */
int late_end(struct destination *d, struct err *err);
int late_done(struct destination *d,
	      struct err *err); /* after that, with the guest's mapping as any other */
/* The guest runs, memory follows: until all is there, or the guest has ended. */
void late_fill(struct destination *d);

#endif
