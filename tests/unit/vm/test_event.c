/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vm/event.h"

#define NS_PER_MS 1000000ull
#define LONG_NS	  (60000 * NS_PER_MS) /* never within a test */

static struct event_loop loop;

static int setup(void **state)
{
	(void)state;
	alarm(120); /* what hangs is killed, and so fails */
	return event_loop_init(&loop, NULL);
}

static int teardown(void **state)
{
	(void)state;
	event_loop_release(&loop);
	return 0;
}

static void run(void)
{
	assert_int_equal(event_run(&loop, NULL), 0);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* A pipe whose read end is a source. */
struct tap {
	struct event_source source;
	int write_fd;
	int calls;
	uint32_t events;
	struct tap *victim;	   /* removed by the callback; may be itself */
	struct tap **victim_freed; /* it is freed as well, and this becomes NULL */
	struct tap *add;	   /* added by the callback */
	bool keep;		   /* leave the byte in the pipe */
	bool stop;
};

static void tap_close(struct tap *t)
{
	event_remove(&loop, &t->source);
	close(t->source.fd);
	close(t->write_fd);
}

static void tap_ready(struct event_source *source, uint32_t events)
{
	struct tap *t = source->ctx;
	char byte;

	t->calls++;
	t->events = events;
	if (!t->keep && (events & EPOLLIN))
		assert_int_equal(read(source->fd, &byte, 1), 1);
	if (t->stop)
		event_stop(&loop);
	if (t->add)
		assert_int_equal(event_add(&loop, &t->add->source, EPOLLIN), 0);
	t->add = NULL;
	if (t->victim) {
		struct tap *victim = t->victim;

		t->victim = NULL;
		if (t->victim_freed) {
			*t->victim_freed = NULL;
			tap_close(victim);
			free(victim);
		} else {
			event_remove(&loop, &victim->source);
		}
	}
}

static void tap_open(struct tap *t)
{
	int p[2];

	memset(t, 0, sizeof(*t));
	assert_int_equal(pipe(p), 0);
	t->source = (struct event_source){.fd = p[0], .ready = tap_ready, .ctx = t};
	t->write_fd = p[1];
}

static void poke(struct tap *t)
{
	assert_int_equal(write(t->write_fd, "x", 1), 1);
}

static void calls_while_there_is_something(void **state)
{
	struct tap a;

	(void)state;
	tap_open(&a);
	a.stop = true;
	assert_false(a.source.added);
	assert_int_equal(event_add(&loop, &a.source, EPOLLIN), 0);
	assert_true(a.source.added);
	poke(&a);
	run();
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.events, EPOLLIN);

	/* A level: what is left is reported again, by the next run too. */
	a.keep = true;
	poke(&a);
	run();
	run();
	assert_int_equal(a.calls, 3);
	tap_close(&a);
	assert_false(a.source.added);
	event_remove(&loop, &a.source); /* twice does no harm */
}

/* Two sources are ready in the same batch; whichever is called first removes the other, which must not be called. */
static void remove_other_in_batch(void **state)
{
	struct tap t[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		tap_open(&t[i]);
		assert_int_equal(event_add(&loop, &t[i].source, EPOLLIN), 0);
		poke(&t[i]);
		t[i].victim = &t[1 - i];
		t[i].stop = true;
	}
	run();
	assert_int_equal(t[0].calls + t[1].calls, 1);
	tap_close(&t[0]);
	tap_close(&t[1]);
}

/* The same where the other one's memory is gone as well. */
static void free_other_in_batch(void **state)
{
	struct tap *t[2], *left;

	(void)state;
	for (int i = 0; i < 2; i++) {
		t[i] = malloc(sizeof(*t[i]));
		assert_non_null(t[i]);
		tap_open(t[i]);
		assert_int_equal(event_add(&loop, &t[i]->source, EPOLLIN), 0);
		poke(t[i]);
	}
	for (int i = 0; i < 2; i++) {
		t[i]->victim = t[1 - i];
		t[i]->victim_freed = &t[1 - i];
		t[i]->stop = true;
	}
	run();
	left = t[0] ? t[0] : t[1];
	assert_true(!t[0] != !t[1]);
	assert_int_equal(left->calls, 1);
	tap_close(left);
	free(left);
}

static void remove_self(void **state)
{
	struct tap a, b;

	(void)state;
	tap_open(&a);
	tap_open(&b);
	a.victim = &a;
	a.keep = true;
	assert_int_equal(event_add(&loop, &a.source, EPOLLIN), 0);
	poke(&a);
	b.stop = true;
	a.add = &b; /* and adds another */
	poke(&b);
	run();
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 1);
	assert_false(a.source.added);

	/* Back again, its byte is still there. */
	a.stop = true;
	a.keep = false;
	assert_int_equal(event_add(&loop, &a.source, EPOLLIN), 0);
	run();
	assert_int_equal(a.calls, 2);
	tap_close(&a);
	tap_close(&b);
}

/* An edge is reported once: the stop that comes before it in the batch must not swallow it. */
static void stop_finishes_the_batch(void **state)
{
	struct tap a, b;

	(void)state;
	tap_open(&a);
	tap_open(&b);
	a.stop = b.stop = true;
	assert_int_equal(event_add(&loop, &a.source, EPOLLIN | EPOLLET), 0);
	assert_int_equal(event_add(&loop, &b.source, EPOLLIN | EPOLLET), 0);
	poke(&a);
	poke(&b);
	run();
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 1);
	tap_close(&a);
	tap_close(&b);
}

static void changes_and_refusals(void **state)
{
	struct event_source file = {.ready = tap_ready};
	FILE *f = tmpfile();
	struct tap a, b;

	(void)state;
	tap_open(&a);
	tap_open(&b);
	/* Silent with events 0, but for errors and hang-ups. */
	assert_int_equal(event_add(&loop, &a.source, 0), 0);
	assert_int_equal(event_add(&loop, &b.source, EPOLLIN), 0);
	assert_int_equal(event_add(&loop, &b.source, EPOLLIN), -EEXIST);
	poke(&a);
	poke(&b);
	b.stop = true;
	run();
	assert_int_equal(a.calls, 0);
	assert_int_equal(b.calls, 1);
	a.stop = true;
	assert_int_equal(event_change(&loop, &a.source, EPOLLIN), 0);
	run();
	assert_int_equal(a.calls, 1);
	assert_int_equal(event_change(&loop, &a.source, 0), 0);
	close(a.write_fd);
	run();
	assert_int_equal(a.calls, 2);
	assert_int_equal(a.events, EPOLLHUP);
	event_remove(&loop, &a.source);
	assert_int_equal(event_change(&loop, &a.source, EPOLLIN), -ENOENT);
	close(a.source.fd);
	tap_close(&b);

	file.fd = fileno(f);
	assert_int_equal(event_add(&loop, &file, EPOLLIN), -EPERM);
	assert_false(file.added);
	fclose(f);
	file.fd = -1;
	assert_int_equal(event_add(&loop, &file, EPOLLIN), -EBADF);
}

/* More at once than fit in a batch. */
static void many(void **state)
{
	struct tap t[3 * EVENT_BATCH];
	unsigned int called = 0;

	(void)state;
	for (unsigned int i = 0; i < 3 * EVENT_BATCH; i++) {
		tap_open(&t[i]);
		assert_int_equal(event_add(&loop, &t[i].source, EPOLLIN), 0);
		poke(&t[i]);
		t[i].stop = true;
	}
	/* Each run handles a batch, and epoll lets all have their turn. */
	for (unsigned int i = 0; i < 3; i++)
		run();
	for (unsigned int i = 0; i < 3 * EVENT_BATCH; i++) {
		called += t[i].calls == 1;
		tap_close(&t[i]);
	}
	assert_int_equal(called, 3 * EVENT_BATCH);
}

static void count_and_stop(struct event_timer *timer)
{
	++*(int *)timer->ctx;
	event_stop(timer->loop);
}

static void timers(void **state)
{
	struct event_timer a, b;
	int a_calls = 0, b_calls = 0;
	uint64_t start;

	(void)state;
	assert_int_equal(event_timer_init(&a, &loop, count_and_stop, &a_calls, NULL), 0);
	assert_int_equal(event_timer_init(&b, &loop, count_and_stop, &b_calls, NULL), 0);

	event_timer_arm(&a, 0);
	run();
	assert_int_equal(a_calls, 1);

	/* Not before its time, once, and in the order of time. */
	start = now_ns();
	event_timer_arm(&b, LONG_NS);
	event_timer_arm(&a, 30 * NS_PER_MS);
	run();
	assert_int_equal(a_calls, 2);
	assert_int_equal(b_calls, 0);
	assert_true(now_ns() - start >= 30 * NS_PER_MS);

	/* Armed anew replaces what was armed, in both directions. */
	event_timer_arm(&b, 0);
	event_timer_arm(&a, 0);
	event_timer_arm(&a, LONG_NS);
	run();
	assert_int_equal(a_calls, 2);
	assert_int_equal(b_calls, 1);
	event_timer_arm(&a, 0);
	run();
	assert_int_equal(a_calls, 3);

	/* Taken back, also when it has gone off already. */
	event_timer_arm(&a, 0);
	usleep(2000);
	event_timer_disarm(&a);
	event_timer_arm(&b, 20 * NS_PER_MS);
	run();
	assert_int_equal(a_calls, 3);
	assert_int_equal(b_calls, 2);

	event_timer_arm(&a, 0);
	event_timer_release(&a); /* armed */
	event_timer_arm(&b, NS_PER_MS);
	run();
	assert_int_equal(a_calls, 3);
	assert_int_equal(b_calls, 3);
	event_timer_release(&b);
}

static void disarm_other(struct event_timer *timer)
{
	struct event_timer **other = timer->ctx;

	event_timer_disarm(*other);
	*other = NULL;
	event_stop(timer->loop);
}

/* Both have gone off and are in one batch; whichever is called first disarms the other, which must not be called. */
static void disarm_in_batch(void **state)
{
	struct event_timer a, b, *of_a = &b, *of_b = &a;

	(void)state;
	assert_int_equal(event_timer_init(&a, &loop, disarm_other, &of_a, NULL), 0);
	assert_int_equal(event_timer_init(&b, &loop, disarm_other, &of_b, NULL), 0);
	event_timer_arm(&a, 0);
	event_timer_arm(&b, 0);
	usleep(2000);
	run();
	assert_true(!of_a != !of_b);
	event_timer_release(&a);
	event_timer_release(&b);
}

static void count_kicks(struct event_kick *kick)
{
	++*(int *)kick->ctx;
	event_stop(kick->loop);
}

static void *kick_it(void *arg)
{
	event_kick(arg);
	return NULL;
}

static void *arm_it(void *arg)
{
	event_timer_arm(arg, NS_PER_MS);
	return NULL;
}

static void from_other_threads(void **state)
{
	struct event_timer timer;
	struct event_kick kick;
	pthread_t thread;
	int kicks = 0, expiries = 0;

	(void)state;
	assert_int_equal(event_kick_init(&kick, &loop, count_kicks, &kicks, NULL), 0);
	assert_int_equal(event_timer_init(&timer, &loop, count_and_stop, &expiries, NULL), 0);

	assert_int_equal(pthread_create(&thread, NULL, kick_it, &kick), 0);
	run();
	pthread_join(thread, NULL);
	assert_int_equal(kicks, 1);

	/* Kicks merge, and each that comes after a callback makes another. */
	for (int i = 0; i < 1000; i++)
		event_kick(&kick);
	run();
	assert_int_equal(kicks, 2);
	event_kick(&kick);
	run();
	assert_int_equal(kicks, 3);

	assert_int_equal(pthread_create(&thread, NULL, arm_it, &timer), 0);
	run();
	pthread_join(thread, NULL);
	assert_int_equal(expiries, 1);
	assert_int_equal(kicks, 3);
	event_kick_release(&kick);
	event_timer_release(&timer);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(calls_while_there_is_something, setup, teardown),
	cmocka_unit_test_setup_teardown(remove_other_in_batch, setup, teardown),
	cmocka_unit_test_setup_teardown(free_other_in_batch, setup, teardown),
	cmocka_unit_test_setup_teardown(remove_self, setup, teardown),
	cmocka_unit_test_setup_teardown(stop_finishes_the_batch, setup, teardown),
	cmocka_unit_test_setup_teardown(changes_and_refusals, setup, teardown),
	cmocka_unit_test_setup_teardown(many, setup, teardown),
	cmocka_unit_test_setup_teardown(timers, setup, teardown),
	cmocka_unit_test_setup_teardown(disarm_in_batch, setup, teardown),
	cmocka_unit_test_setup_teardown(from_other_threads, setup, teardown),
};

UNIT_MAIN(tests)
