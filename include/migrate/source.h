/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The source of a live migration, in the VM's own process. docs/migration-protocol.md tells the whole way.
 *
 * A thread speaks with the destination. What touches the machine is done on the loop's thread: the thread asks and waits.
 * Until the destination has said that it loaded everything, whatever goes wrong leaves the guest running here; after COMMIT it
 * never runs here again by itself.
 */
#ifndef LKVM_MIGRATE_SOURCE_H
#define LKVM_MIGRATE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "migrate/ram-move.h"
#include "util/buf.h"
#include "util/err.h"

#define SOURCE_MAX_ROUNDS 30

struct vm;
struct source_job;

enum source_on_timeout { SOURCE_TIMEOUT_CANCEL, SOURCE_TIMEOUT_SWITCH };

struct source_request {
	uint32_t downtime_ms; /* the guest should stand still no longer */
	uint64_t bandwidth;   /* bytes a second on the line; 0: no limit */
	uint32_t timeout_s;   /* 0: none */
	uint8_t on_timeout;   /* enum source_on_timeout */
	uint8_t codec;	      /* enum snap_codec */
	bool auto_converge;   /* slow the guest down when it writes more than the line takes */
	bool keep_paused;     /* at the destination, until a user resumes it */
	bool drop_tags;	      /* for tests */
	bool postcopy; /* after @rounds rounds the guest goes on over there, and the rest follows */
	bool recover;  /* go on with the post-copy whose line was lost; all else is as it was */
	uint32_t rounds;
};

enum source_phase {
	SOURCE_PHASE_NONE,
	SOURCE_PHASE_CONNECTING,
	SOURCE_PHASE_COPYING,
	SOURCE_PHASE_SWITCHING,
	SOURCE_PHASE_SERVING, /* post-copy: the guest runs there, memory follows */
	SOURCE_PHASE_DONE,
	SOURCE_PHASE_FAILED,	/* the guest goes on here */
	SOURCE_PHASE_UNDECIDED, /* it stands still here, and perhaps runs there */
	SOURCE_PHASE_KEPT, /* post-copy's line was lost: it stands still, memory is on both sides */
	SOURCE_PHASES
};

struct source_status {
	uint8_t phase;
	uint32_t round;
	uint64_t remaining;   /* bytes of memory */
	uint64_t dirty_rate;  /* bytes of memory that the guest writes a second */
	uint64_t rate;	      /* bytes a second on the line */
	uint8_t throttle;     /* percent of the time that the guest is held */
	uint64_t expected_ns; /* how long it would stand still now */
	struct ram_counts counts;
	uint64_t state_bytes, sent_bytes;
	uint64_t elapsed_ns;
	uint64_t downtime_ns;	    /* from pause to RUNNING, seen from here */
	uint64_t faults;	    /* pages that the destination waited for */
	uint64_t their_downtime_ns; /* from PAUSED to the guest's running, seen from there */
	int rc;
	struct err err; /* FAILED, UNDECIDED and KEPT */
};

/* Called on the loop's thread; the job is gone then. DONE: the guest stands still here, the receiver calls vm_finish(). */
struct source_events {
	void (*done)(void *ctx, const struct source_status *status);
	void *ctx;
};

/* Takes @fd, a connected socket, also on error. Loop thread. */
int source_start(struct vm *vm, const struct source_request *req, int fd,
		 const struct source_events *events, struct source_job **out, struct err *err);
void source_status(struct source_job *job, struct source_status *status);
/* Its line was lost in post-copy: goes on over @fd, which it takes, also on error. -EBUSY when it was not. */
int source_rejoin(struct source_job *job, int fd, struct err *err);
/* A user says that the guest runs on here after all: 0 where that can be, and done() says FAILED soon. */
int source_resume(struct source_job *job, struct err *err);
/* The guest goes on, and done() says so soon. -EBUSY when it is too late. */
int source_cancel(struct source_job *job);
/* The machine is about to go, the loop does not run: ends the job. done() is called. */
void source_leave(struct source_job *job);

/* migrate/control-migrate.c: requests of the control socket about migration. */
void source_request_encode(const struct source_request *req, struct wbuf *out);
int source_request_decode(struct rbuf *in, struct source_request *req, struct err *err);
void source_status_encode(const struct source_status *status, struct wbuf *out);
int source_status_decode(struct rbuf *in, struct source_status *status);

struct outgoing;
int outgoing_open(struct vm *vm, struct outgoing **out, struct err *err);
void outgoing_close(struct outgoing *out);
bool outgoing_busy(const struct outgoing *out);
/* The machine is about to go. */
void outgoing_leave(struct outgoing *out);
int outgoing_answer(struct outgoing *out, uint16_t type, struct rbuf *payload, struct wbuf *reply,
		    struct err *err);

#endif
