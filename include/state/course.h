/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who may run the guest when: the two state machines of a live migration, as tables. docs/migration-protocol.md draws them.
 *
 * An event is one of enum course_event, which this side makes itself, or a message of the other side, by its enum
 * stream_type. What a state does not expect is taken for COURSE_LINE: a line that brings nonsense is as good as cut.
 */
#ifndef LKVM_STATE_COURSE_H
#define LKVM_STATE_COURSE_H

#include <stdbool.h>

#include "state/stream.h"

enum course_event {
	COURSE_LINE,   /* cut, stalled, or something malformed came */
	COURSE_CANCEL, /* this side cannot or does not want to go on */
	COURSE_HELLO,  /* the other side's hello was understood (source: and the offer is sent) */
	COURSE_BUILT,  /* destination: the host fits, the machine is there */
	COURSE_STOOD,  /* source: the guest stands still */
	COURSE_SENT, /* source, PAUSED: the state is sent; READY: COMMIT is, its last byte included */
	COURSE_UNSENT, /* source, READY: some of COMMIT's bytes will never be sent */
	COURSE_TAKEN,  /* destination: all state was taken, nothing that is left can fail */
	COURSE_SENT_LATE, /* source, PAUSED: the state is sent, and pages are left that come after it */
	COURSE_JOINED,	/* post-copy: the two sides have found each other again */
	COURSE_RESUMED, /* source, UNSURE: a user has let the guest run here */
	COURSE_FULL,	/* destination: all memory is there */
};

enum course_source {
	SOURCE_HELLO,
	SOURCE_OFFERED,
	SOURCE_COPYING,
	SOURCE_PAUSED,
	SOURCE_LOADING,
	SOURCE_LATE_LOADING, /* as LOADING, and pages that are asked for are sent */
	SOURCE_READY,	     /* LOADED came; from here on nothing of ours stops it */
	SOURCE_LATE_READY,
	SOURCE_COMMITTED,
	SOURCE_PROMISED, /* as COMMITTED, and the rest of memory is to follow */
	SOURCE_SERVING,	 /* the guest runs there, its memory follows */
	SOURCE_KEPT,   /* the line was lost meanwhile: stands still, keeps all, waits for a user */
	SOURCE_UNSURE, /* PROMISED and the line was lost: as KEPT, but perhaps it never ran there */
	SOURCE_DONE,   /* ends */
	SOURCE_FAILED, /* runs on */
	SOURCE_UNDECIDED, /* stands still until a user decides */
	SOURCE_STATES
};

enum course_destination {
	DESTINATION_HELLO,
	DESTINATION_WAITING,
	DESTINATION_COPYING,
	DESTINATION_LAST, /* PAUSED came: the last pass */
	DESTINATION_LATE, /* the source has said which pages come later */
	DESTINATION_LOADING,
	DESTINATION_LATE_LOADING,
	DESTINATION_LOADED,
	DESTINATION_LATE_LOADED,
	DESTINATION_FILLING, /* the guest runs, memory follows */
	DESTINATION_BROKEN,  /* the line was lost meanwhile: the guest stands still, all is kept */
	DESTINATION_RUNNING,
	DESTINATION_FAILED, /* never runs */
	DESTINATION_STATES
};

/* The final states have no way out. @event: enum course_event or enum stream_type. */
enum course_source course_source_next(enum course_source state, unsigned int event);
enum course_destination course_destination_next(enum course_destination state, unsigned int event);

bool course_source_final(enum course_source state);
bool course_destination_final(enum course_destination state);
/* Post-copy with a lost line: nothing more happens until a user joins the two again. */
bool course_source_waits(enum course_source state);
bool course_destination_waits(enum course_destination state);

/* Whether the guest runs on that side in that state. */
bool course_source_runs(enum course_source state);
bool course_destination_runs(enum course_destination state);

#endif
