/* SPDX-License-Identifier: GPL-2.0-only */
/* What migrate/source*.c share, and nobody else sees. */
#ifndef LKVM_MIGRATE_SOURCE_JOB_H
#define LKVM_MIGRATE_SOURCE_JOB_H

#include <pthread.h>

#include "migrate/late-map.h"
#include "migrate/source.h"
#include "migrate/throttle.h"
#include "state/course.h"
#include "vm/vm.h"

#define SOURCE_REQUESTS 32 /* that a destination may have under way */

struct source_job {
	struct vm *vm;
	struct source_request req;
	struct source_events events;
	struct channel ch;
	struct channel extra[SOURCE_MAX_CHANNELS - 1];
	unsigned int n_extra; /* of them, open */
	pthread_t thread;
	struct event_kick kick;
	struct throttle throttle;
	uint64_t started_ns;

	/* The thread's, and the loop's while the thread waits for it. */
	struct snap_info geometry;
	struct wbuf compat, config, state;
	struct ram_sender *sender;
	uint64_t page_rate; /* bytes of memory a second */
	uint64_t last_remaining;
	unsigned int throttled; /* percent, as asked for */
	bool log_on, stands;
	bool threaded, rejoining;
	struct late_map late; /* post-copy: what comes after the switch-over */
	uint32_t late_bank;
	uint64_t asked[SOURCE_REQUESTS]; /* pages that the destination waits for, oldest first */
	unsigned int n_asked;
	uint64_t stands_ns;
	struct err why;

	/* Guarded by lock. */
	pthread_mutex_t lock;
	pthread_cond_t answered;
	enum course_source course;
	int (*call)(struct source_job *job, struct err *err); /* for the loop to do */
	int answer;
	struct err answer_err;
	bool leaving, cancelled, ended;
	struct source_status status;
};

/* All on the job's thread. */
void source_happened(struct source_job *job, unsigned int event);
void source_set_phase(struct source_job *job, enum source_phase phase);
/* Has the loop's thread do it. -ECANCELED when the loop does not run any more. */
int source_ask_loop(struct source_job *job, int (*call)(struct source_job *, struct err *),
		    struct err *err);
/*
 * Post-copy, and each wait for an answer (migrate/source-late.c). source_late_note(): a pass that notes what to send late, and sends
 * all else.
 * source_serve(): until the destination says @until, whose payload is in @payload, sends what is asked for, and with @all the rest
 * behind it. What else comes is ALIVE, ABORT, or nonsense.
 */
int source_late_open(struct source_job *job, struct err *err);
int source_late_note(struct source_job *job, bool last, struct err *err);
int source_serve(struct source_job *job, enum stream_type until, bool all, struct rbuf *payload,
		 struct err *err);
/* Joins the destination again; then goes on as after RUNNING. */
int source_meet_again(struct source_job *job, struct err *err);
/* What a user has to know of a line that was lost. */
void source_explain_kept(const struct source_job *job, struct err *err);
/* ABORT becomes an error. */
int source_aborted(struct source_job *job, struct rbuf *payload, struct err *err);

/* migrate/source-channels.c. Takes req.extra, also on error; attaches them; says that a pass is over. */
void source_channels_drop(const struct source_request *req);
int source_channels_init(struct source_job *job, struct err *err);
int source_channels_attach(struct source_job *job, struct err *err);
int source_channels_mark(struct source_job *job, uint32_t round, struct err *err);
void source_channels_unlimit(struct source_job *job);
uint64_t source_channels_sent(const struct source_job *job); /* bytes, by all connections */
void source_channels_close(struct source_job *job);

/* Log on, and rounds until what remains is little enough (migrate/source-copy.c). */
int source_copy(struct source_job *job, struct err *err);

#endif
