/* SPDX-License-Identifier: GPL-2.0-only */
#include "state/course.h"

struct step {
	unsigned int state, event, next;
};

/* Anything else that happens is COURSE_LINE, and that is in failure[] below. */
static const struct step source_steps[] = {
	{SOURCE_HELLO, COURSE_HELLO, SOURCE_OFFERED},
	{SOURCE_OFFERED, STREAM_ACCEPT, SOURCE_COPYING},
	{SOURCE_COPYING, STREAM_SEEN, SOURCE_COPYING},
	{SOURCE_COPYING, COURSE_STOOD, SOURCE_PAUSED},
	{SOURCE_PAUSED, COURSE_SENT, SOURCE_LOADING},
	{SOURCE_PAUSED, COURSE_SENT_LATE, SOURCE_LATE_LOADING},
	{SOURCE_LATE_LOADING, STREAM_REQUEST, SOURCE_LATE_LOADING},
	{SOURCE_LATE_LOADING, STREAM_LOADED, SOURCE_LATE_READY},
	{SOURCE_LATE_READY, COURSE_SENT, SOURCE_PROMISED},
	{SOURCE_LATE_READY, COURSE_UNSENT, SOURCE_FAILED},
	{SOURCE_LATE_READY, COURSE_CANCEL, SOURCE_LATE_READY},
	{SOURCE_PROMISED, STREAM_REQUEST, SOURCE_PROMISED},
	{SOURCE_PROMISED, STREAM_RUNNING, SOURCE_SERVING},
	{SOURCE_PROMISED, STREAM_ABORT, SOURCE_FAILED},
	{SOURCE_PROMISED, COURSE_CANCEL, SOURCE_PROMISED},
	{SOURCE_SERVING, STREAM_REQUEST, SOURCE_SERVING},
	{SOURCE_SERVING, STREAM_COMPLETE, SOURCE_DONE},
	{SOURCE_SERVING, COURSE_CANCEL, SOURCE_SERVING},
	{SOURCE_KEPT, COURSE_JOINED, SOURCE_SERVING},
	{SOURCE_KEPT, STREAM_COMPLETE, SOURCE_DONE}, /* its last word was lost */
	{SOURCE_UNSURE, COURSE_JOINED, SOURCE_SERVING},
	{SOURCE_UNSURE, STREAM_COMPLETE, SOURCE_DONE},
	{SOURCE_UNSURE, COURSE_RESUMED, SOURCE_FAILED},
	{SOURCE_LOADING, STREAM_LOADED, SOURCE_READY},
	{SOURCE_READY, COURSE_SENT, SOURCE_COMMITTED},
	{SOURCE_READY, COURSE_UNSENT, SOURCE_FAILED},
	{SOURCE_READY, COURSE_CANCEL, SOURCE_READY}, /* too late */
	{SOURCE_COMMITTED, STREAM_RUNNING, SOURCE_DONE},
	{SOURCE_COMMITTED, STREAM_ABORT, SOURCE_FAILED}, /* who says so never runs */
	{SOURCE_COMMITTED, COURSE_CANCEL, SOURCE_COMMITTED},
};

static const struct step destination_steps[] = {
	{DESTINATION_HELLO, COURSE_HELLO, DESTINATION_WAITING},
	{DESTINATION_WAITING, STREAM_OFFER, DESTINATION_WAITING},
	{DESTINATION_WAITING, COURSE_BUILT, DESTINATION_COPYING},
	{DESTINATION_COPYING, STREAM_PAGES, DESTINATION_COPYING},
	{DESTINATION_COPYING, STREAM_ROUND, DESTINATION_COPYING},
	{DESTINATION_COPYING, STREAM_PAUSED, DESTINATION_LAST},
	{DESTINATION_LAST, STREAM_PAGES, DESTINATION_LAST},
	{DESTINATION_LAST, STREAM_STATE, DESTINATION_LOADING},
	{DESTINATION_LAST, STREAM_MISSING, DESTINATION_LATE},
	{DESTINATION_LATE, STREAM_MISSING, DESTINATION_LATE},
	{DESTINATION_LATE, STREAM_STATE, DESTINATION_LATE_LOADING},
	{DESTINATION_LOADING, COURSE_TAKEN, DESTINATION_LOADED},
	{DESTINATION_LATE_LOADING, STREAM_PAGES,
	 DESTINATION_LATE_LOADING}, /* it had asked for them */
	{DESTINATION_LATE_LOADING, COURSE_TAKEN, DESTINATION_LATE_LOADED},
	{DESTINATION_LOADED, STREAM_COMMIT, DESTINATION_RUNNING},
	{DESTINATION_LATE_LOADED, STREAM_PAGES, DESTINATION_LATE_LOADED},
	{DESTINATION_LATE_LOADED, STREAM_COMMIT, DESTINATION_FILLING},
	{DESTINATION_FILLING, STREAM_PAGES, DESTINATION_FILLING},
	{DESTINATION_FILLING, COURSE_FULL, DESTINATION_RUNNING},
	{DESTINATION_BROKEN, COURSE_JOINED, DESTINATION_FILLING},
	{DESTINATION_BROKEN, COURSE_FULL, DESTINATION_RUNNING},
};

static unsigned int next(const struct step *steps, size_t n, unsigned int state, unsigned int event,
			 unsigned int otherwise)
{
	for (size_t i = 0; i < n; i++)
		if (steps[i].state == state && steps[i].event == event)
			return steps[i].next;
	return otherwise;
}

bool course_source_final(enum course_source state)
{
	return state >= SOURCE_DONE;
}

bool course_destination_final(enum course_destination state)
{
	return state >= DESTINATION_RUNNING;
}

bool course_source_waits(enum course_source state)
{
	return state == SOURCE_KEPT || state == SOURCE_UNSURE;
}

bool course_destination_waits(enum course_destination state)
{
	return state == DESTINATION_BROKEN;
}

/* Where a line that is lost leads, and all that is not expected. */
static enum course_source source_otherwise(enum course_source state)
{
	switch (state) {
	case SOURCE_COMMITTED:
		return SOURCE_UNDECIDED;
	case SOURCE_PROMISED:
	case SOURCE_UNSURE:
		return SOURCE_UNSURE;
	case SOURCE_SERVING:
	case SOURCE_KEPT:
		return SOURCE_KEPT;
	default:
		return SOURCE_FAILED;
	}
}

enum course_source course_source_next(enum course_source state, unsigned int event)
{
	if (course_source_final(state))
		return state;
	return next(source_steps, sizeof(source_steps) / sizeof(source_steps[0]), state, event,
		    source_otherwise(state));
}

enum course_destination course_destination_next(enum course_destination state, unsigned int event)
{
	unsigned int otherwise = state == DESTINATION_FILLING || state == DESTINATION_BROKEN
					 ? DESTINATION_BROKEN
					 : DESTINATION_FAILED;

	if (course_destination_final(state))
		return state;
	return next(destination_steps, sizeof(destination_steps) / sizeof(destination_steps[0]),
		    state, event, otherwise);
}

bool course_source_runs(enum course_source state)
{
	return state < SOURCE_PAUSED || state == SOURCE_FAILED;
}

bool course_destination_runs(enum course_destination state)
{
	return state == DESTINATION_FILLING || state == DESTINATION_RUNNING;
}
