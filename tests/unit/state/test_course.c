/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every way in which the two sides of a migration can meet, with a line that may be cut between any two messages, or lose what
 * is under way: never do both run, and in the end one does, or the source stands still and says so. The same as
 * docs/migration.pml, of the tables that the program uses.
 */
#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "state/course.h"

#define LINE  4 /* messages under way */
#define JOINS 2 /* by a user, one after the other */
#define SEEN  (1u << 22)

struct pair {
	uint8_t source, destination;
	bool cut;	   /* nothing more is sent; what is under way may still come */
	bool built, asked; /* the destination accepted; the source waits for SEEN */
	bool last;	   /* PAUSED was sent */
	bool late;	   /* post-copy: pages are left when the guest goes on */
	bool served, has;  /* they were sent; they came */
	bool wanted;	   /* the destination has asked for them */
	uint8_t joins;	   /* how often a user has joined the two again */
	bool heard[2];	   /* each side knows of the cut */
	uint8_t n[2];	   /* to the destination, to the source */
	uint16_t line[2][LINE];
};

struct walk {
	unsigned int visited, ends[SOURCE_STATES][DESTINATION_STATES];
	unsigned int
		kept[DESTINATION_STATES]; /* where the destination is while the source keeps all */
	bool source_goes_on;		  /* control: a source that resumes in the open window */
	bool kept_goes_on; /* control: a source that resumes when the line is lost in post-copy */
	bool broken_ends;  /* control: a destination that ends then */
	bool both;
	uint64_t *seen;
};

static uint64_t hash(const struct pair *p)
{
	const uint8_t *bytes = (const uint8_t *)p;
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < sizeof(*p); i++)
		h = (h ^ bytes[i]) * 0x100000001b3ull;
	return h | 1;
}

static bool first_time(struct walk *w, const struct pair *p)
{
	uint64_t h = hash(p);

	for (size_t i = h % SEEN;; i = (i + 1) % SEEN) {
		if (w->seen[i] == h)
			return false;
		if (!w->seen[i]) {
			w->seen[i] = h;
			w->visited++;
			assert_true(w->visited < SEEN / 2);
			return true;
		}
	}
}

static void visit(struct walk *w, struct pair p);

static enum course_source source_next(const struct walk *w, enum course_source s,
				      unsigned int event)
{
	enum course_source to = course_source_next(s, event);

	if (w->kept_goes_on && to == SOURCE_KEPT)
		return SOURCE_FAILED;
	return w->source_goes_on && (to == SOURCE_UNDECIDED || to == SOURCE_UNSURE) ? SOURCE_FAILED
										    : to;
}

static void push(struct pair *p, int to, unsigned int type)
{
	if (p->cut || p->n[to] == LINE)
		return;
	p->line[to][p->n[to]++] = (uint16_t)type;
}

/* Who fails says so, if the line lets it, and hangs up. */
static void hang_up(struct pair *p, int to)
{
	push(p, to, STREAM_ABORT);
	p->cut = true;
}

static void source_event(struct walk *w, struct pair p, unsigned int event)
{
	enum course_source was = p.source;

	p.source = source_next(w, was, event);
	if (p.source == SOURCE_FAILED && was != SOURCE_FAILED)
		hang_up(&p, 0);
	if (p.source == SOURCE_UNDECIDED || p.source == SOURCE_DONE ||
	    course_source_waits(p.source))
		p.cut = true;
	if (event == STREAM_SEEN)
		p.asked = false;
	if (event == STREAM_REQUEST && p.source == was && !p.served) {
		push(&p, 0, STREAM_PAGES);
		p.served = true;
	}
	visit(w, p);
}

static void destination_event(struct walk *w, struct pair p, unsigned int event)
{
	enum course_destination was = p.destination;

	p.destination = course_destination_next(was, event);
	if (event == COURSE_BUILT && p.destination == DESTINATION_COPYING)
		push(&p, 1, STREAM_ACCEPT);
	if (event == STREAM_ROUND && p.destination == DESTINATION_COPYING)
		push(&p, 1, STREAM_SEEN);
	if (event == COURSE_TAKEN && p.destination == DESTINATION_LOADED)
		push(&p, 1, STREAM_LOADED);
	if (event == COURSE_TAKEN && p.destination == DESTINATION_LATE_LOADED)
		push(&p, 1, STREAM_LOADED);
	if (event == STREAM_COMMIT && course_destination_runs(p.destination))
		push(&p, 1, STREAM_RUNNING);
	if (event == COURSE_FULL && p.destination == DESTINATION_RUNNING)
		push(&p, 1, STREAM_COMPLETE);
	if (event == STREAM_PAGES && p.destination >= DESTINATION_LATE)
		p.has = true;
	if (p.destination == DESTINATION_BROKEN) {
		p.cut = true;
		if (w->broken_ends)
			p.destination = DESTINATION_FAILED;
	}
	if (p.destination == DESTINATION_FAILED && was != DESTINATION_FAILED)
		hang_up(&p, 1);
	visit(w, p);
}

/* What each side can do by itself. */
static void own_steps(struct walk *w, const struct pair *p)
{
	struct pair q = *p;

	switch (p->source) {
	case SOURCE_HELLO:
		if (!p->cut) {
			push(&q, 0, STREAM_OFFER);
			source_event(w, q, COURSE_HELLO);
		}
		break;
	case SOURCE_COPYING:
		if (!p->cut && !p->asked && p->n[0] < LINE - 1) {
			push(&q, 0, STREAM_PAGES);
			push(&q, 0, STREAM_ROUND);
			q.asked = true;
			visit(w, q);
		}
		if (!p->asked)
			source_event(w, *p, COURSE_STOOD);
		break;
	case SOURCE_PAUSED:
		if (!p->last && p->n[0] < LINE - 1) {
			push(&q, 0, STREAM_PAUSED);
			push(&q, 0, STREAM_PAGES);
			q.last = true;
			visit(w, q);
		} else if (p->last && p->n[0] < LINE) {
			push(&q, 0, STREAM_STATE);
			source_event(w, q, COURSE_SENT);
		}
		if (p->last && p->n[0] < LINE - 1) {
			q = *p;
			q.late = true;
			push(&q, 0, STREAM_MISSING);
			push(&q, 0, STREAM_STATE);
			source_event(w, q, COURSE_SENT_LATE);
		}
		break;
	case SOURCE_SERVING:
		if (!p->cut && !p->served && p->n[0] < LINE) {
			push(&q, 0, STREAM_PAGES);
			q.served = true;
			visit(w, q);
		}
		break;
	case SOURCE_UNSURE:
		/* A user who has seen that the destination has ended. */
		if (p->destination == DESTINATION_FAILED)
			source_event(w, *p, COURSE_RESUMED);
		break;
	case SOURCE_LATE_READY:
	case SOURCE_READY:
		if (!p->cut && p->n[0] < LINE) {
			push(&q, 0, STREAM_COMMIT);
			source_event(w, q, COURSE_SENT);
		}
		source_event(w, *p, COURSE_UNSENT);
		break;
	default:
		break;
	}
	if (!course_source_final(p->source))
		source_event(w, *p, COURSE_CANCEL);
	if (p->destination == DESTINATION_HELLO)
		destination_event(w, *p, COURSE_HELLO);
	if (p->destination == DESTINATION_WAITING && p->built)
		destination_event(w, *p, COURSE_BUILT);
	if (p->destination == DESTINATION_LOADING || p->destination == DESTINATION_LATE_LOADING)
		destination_event(w, *p, COURSE_TAKEN);
	if (p->destination == DESTINATION_FILLING && p->has)
		destination_event(w, *p, COURSE_FULL);
	if (!p->wanted && !p->has && !p->cut && p->n[1] < LINE &&
	    (p->destination == DESTINATION_LATE_LOADING ||
	     p->destination == DESTINATION_LATE_LOADED || p->destination == DESTINATION_FILLING)) {
		q = *p;
		push(&q, 1, STREAM_REQUEST);
		q.wanted = true;
		visit(w, q);
	}
	if (!course_destination_final(p->destination) && p->destination != DESTINATION_FILLING &&
	    p->destination != DESTINATION_BROKEN)
		destination_event(w, *p, COURSE_CANCEL);
}

/* A user joins the two again, wherever the destination is; or the line is lost when only that has heard of it. */
static void join_steps(struct walk *w, const struct pair *p)
{
	struct pair q = *p;

	if (!course_source_waits(p->source) || !p->late || p->joins == JOINS || !p->cut ||
	    (p->destination != DESTINATION_FILLING && p->destination != DESTINATION_BROKEN &&
	     p->destination != DESTINATION_RUNNING))
		return;
	memset(q.line, 0, sizeof(q.line));
	memset(q.n, 0, sizeof(q.n));
	memset(q.heard, 0, sizeof(q.heard));
	q.joins++;
	q.wanted = false;
	q.served = q.has;
	if (q.destination == DESTINATION_RUNNING) {
		source_event(w, q, STREAM_COMPLETE);
		return;
	}
	q.destination = course_destination_next(q.destination, COURSE_LINE);
	q.destination = course_destination_next(q.destination, COURSE_JOINED);
	assert_int_equal(q.destination, DESTINATION_FILLING);
	visit(w, q);
	q.cut = false;
	source_event(w, q, COURSE_JOINED);
}

/* The line: a message comes, or is lost with all behind it; or a side notices that nothing comes any more. */
static void line_steps(struct walk *w, const struct pair *p)
{
	for (int to = 0; to < 2; to++) {
		struct pair q = *p;
		unsigned int type;

		if (p->n[to]) {
			type = p->line[to][0];
			memmove(q.line[to], q.line[to] + 1, (LINE - 1) * sizeof(q.line[to][0]));
			q.line[to][--q.n[to]] = 0;
			if (to == 0 && type == STREAM_OFFER)
				q.built = true;
			if (to == 0)
				destination_event(w, q, type);
			else
				source_event(w, q, type);
			q = *p;
			memset(q.line[to], 0, sizeof(q.line[to]));
			q.n[to] = 0;
			q.cut = true;
			visit(w, q);
		} else if (p->cut && !p->heard[to]) {
			q.heard[to] = true;
			if (to == 0)
				destination_event(w, q, COURSE_LINE);
			else
				source_event(w, q, COURSE_LINE);
		}
	}
	if (!p->cut) {
		struct pair q = *p;

		q.cut = true;
		visit(w, q);
	}
}

static void visit(struct walk *w, struct pair p)
{
	if (!first_time(w, &p))
		return;
	if (course_source_runs(p.source) && course_destination_runs(p.destination)) {
		w->both = true;
		assert_true(w->source_goes_on || w->kept_goes_on);
		return;
	}
	if (course_source_final(p.source) && course_destination_final(p.destination))
		w->ends[p.source][p.destination]++;
	if (p.source == SOURCE_KEPT)
		w->kept[p.destination]++;
	own_steps(w, &p);
	line_steps(w, &p);
	join_steps(w, &p);
	/* Nobody waits for ever: who is not at the end has a step. */
	if (p.cut && !p.n[0] && !p.n[1] && p.heard[0] && p.heard[1]) {
		assert_true(course_source_final(p.source) || course_source_waits(p.source));
		assert_true(course_destination_final(p.destination) ||
			    course_destination_waits(p.destination));
	}
}

static void walk(struct walk *w)
{
	struct pair start;

	memset(&start, 0, sizeof(start));
	w->seen = calloc(SEEN, sizeof(*w->seen));
	assert_non_null(w->seen);
	visit(w, start);
	free(w->seen);
}

static void test_every_way(void **state)
{
	struct walk *w = calloc(1, sizeof(*w));

	(void)state;
	assert_non_null(w);
	walk(w);
	assert_true(w->visited > 250);
	/* What can be the end: one runs, or a user has to say. */
	for (unsigned int s = SOURCE_DONE; s < SOURCE_STATES; s++) {
		for (unsigned int d = DESTINATION_RUNNING; d < DESTINATION_STATES; d++) {
			bool good = (s == SOURCE_DONE && d == DESTINATION_RUNNING) ||
				    (s == SOURCE_FAILED && d == DESTINATION_FAILED) ||
				    s == SOURCE_UNDECIDED;

			assert_int_equal(w->ends[s][d] != 0, good);
		}
	}
	/* While the source keeps all the guest is there: it runs, is full, or stands still. Never is it nowhere. */
	for (unsigned int d = 0; d < DESTINATION_STATES; d++)
		assert_int_equal(w->kept[d] != 0, d == DESTINATION_FILLING ||
							  d == DESTINATION_BROKEN ||
							  d == DESTINATION_RUNNING);
	free(w);
}

static void test_control(void **state)
{
	struct walk *w = calloc(1, sizeof(*w));

	(void)state;
	assert_non_null(w);
	w->source_goes_on = true;
	walk(w);
	assert_true(w->both);
	free(w);
}

static void test_control_late(void **state)
{
	struct walk *w = calloc(1, sizeof(*w));

	(void)state;
	assert_non_null(w);
	w->kept_goes_on = true;
	walk(w);
	assert_true(w->both);
	memset(w, 0, sizeof(*w));
	w->broken_ends = true;
	walk(w);
	assert_true(w->kept[DESTINATION_FAILED] != 0); /* nobody has the guest */
	free(w);
}

static void test_nonsense(void **state)
{
	(void)state;
	for (unsigned int s = 0; s < SOURCE_STATES; s++) {
		enum course_source to = course_source_next(s, 0x999);

		assert_true(course_source_final(to) || course_source_waits(to));
		assert_int_equal(to == SOURCE_UNDECIDED,
				 s == SOURCE_COMMITTED || s == SOURCE_UNDECIDED);
		assert_int_equal(to == SOURCE_UNSURE, s == SOURCE_PROMISED || s == SOURCE_UNSURE);
		assert_int_equal(to == SOURCE_KEPT, s == SOURCE_SERVING || s == SOURCE_KEPT);
		assert_int_equal(course_source_next(to, STREAM_RUNNING), to);
	}
	for (unsigned int d = 0; d < DESTINATION_STATES; d++) {
		enum course_destination to = course_destination_next(d, 0x999);

		assert_true(course_destination_final(to) || course_destination_waits(to));
		assert_int_equal(to == DESTINATION_RUNNING, d == DESTINATION_RUNNING);
		assert_int_equal(to == DESTINATION_BROKEN,
				 d == DESTINATION_FILLING || d == DESTINATION_BROKEN);
		assert_int_equal(course_destination_next(to, STREAM_COMMIT), to);
	}
	assert_int_equal(course_destination_next(DESTINATION_COPYING, STREAM_COMMIT),
			 DESTINATION_FAILED);
	/* Late pages only where some were announced. */
	assert_int_equal(course_destination_next(DESTINATION_COPYING, STREAM_MISSING),
			 DESTINATION_FAILED);
	assert_int_equal(course_source_next(SOURCE_LOADING, STREAM_REQUEST), SOURCE_FAILED);
	assert_int_equal(course_source_next(SOURCE_COMMITTED, STREAM_REQUEST), SOURCE_UNDECIDED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_way),
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_control_late),
		cmocka_unit_test(test_nonsense),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
