/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The source of post-copy against a destination that may be hostile: what is asked for comes first and once, what was never
 * announced, or is too much, ends it; joined again, only what is lacking is sent.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "migrate/ram.h"
#include "migrate/source-job.h"
#include "vm/memory-log.h"

#define PAGES 300
#define RAM   0x80000000ull

struct both {
	struct source_job job;
	struct vm vm;
	struct channel to;
	size_t page;
};

/* In place of migrate/source.c. */
void source_happened(struct source_job *job, unsigned int event)
{
	job->course = course_source_next(job->course, event);
}

int source_aborted(struct source_job *job, struct rbuf *payload, struct err *err)
{
	struct err why = ERR_INIT;
	int rc = stream_abort_decode(payload, &why, err);

	source_happened(job, STREAM_ABORT);
	return rc ? rc : err_set(err, -EREMOTEIO, "the destination: %s", why.msg);
}

static int setup(void **state)
{
	struct both *b = calloc(1, sizeof(*b));
	struct source_job *job = &b->job;
	struct mem *mem = &b->vm.mem;
	struct err err = ERR_INIT;
	int ends[2];

	assert_non_null(b);
	assert_int_equal(mem_init(mem, &err), 0);
	b->page = mem->page_size;
	mem->banks[0].spec =
		(struct mem_spec){.name = "ram", .gpa = RAM, .size = PAGES * mem->page_size};
	mem->banks[0].host = mmap(NULL, mem->banks[0].spec.size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(mem->banks[0].host, MAP_FAILED);
	madvise(mem->banks[0].host, mem->banks[0].spec.size, MADV_NOHUGEPAGE);
	mem->banks[0].fd = -1;
	mem->n = 1;
	snprintf(b->vm.name, sizeof(b->vm.name), "first");
	job->vm = &b->vm;
	pthread_mutex_init(&job->lock, NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(channel_open(&job->ch, ends[0], ends[0], &err), 0);
	assert_int_equal(channel_open(&b->to, ends[1], ends[1], &err), 0);
	ram_describe(mem, &job->geometry);
	job->ch.page_size = b->to.page_size = job->geometry.page_size;
	assert_int_equal(mem_log_start(mem, &err), 0);
	assert_int_equal(source_late_open(job, &err), 0);
	assert_int_equal(
		ram_sender_open(mem, &job->ch, &job->geometry, SNAP_RAW, false, &job->sender, &err),
		0);
	/* Pages 0, 70, 71 and 299 are there. */
	for (unsigned int i = 0; i < PAGES; i++)
		if (i == 0 || i == 70 || i == 71 || i == 299)
			memset(mem->banks[0].host + i * b->page, (int)(i % 255 + 1), b->page);
	assert_int_equal(source_late_note(job, false, &err), 0);
	assert_int_equal(job->late.left, 4);
	job->course = SOURCE_SERVING;
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct both *b = *state;

	ram_sender_close(b->job.sender);
	mem_log_stop(&b->vm.mem);
	late_map_release(&b->job.late);
	channel_close(&b->job.ch);
	channel_close(&b->to);
	mem_release(&b->vm.mem);
	pthread_mutex_destroy(&b->job.lock);
	free(b);
	return 0;
}

static void request(struct both *b, const uint64_t *page, size_t n)
{
	struct err err = ERR_INIT;

	stream_request_encode(channel_begin(&b->to, STREAM_REQUEST), page, n);
	assert_int_equal(channel_send(&b->to, &err), 0);
}

static int serve(struct both *b, bool all)
{
	struct err err = ERR_INIT;
	struct rbuf payload;
	int rc = source_serve(&b->job, STREAM_COMPLETE, all, &payload, &err);

	assert_true(!rc == !err.msg[0]);
	return rc;
}

/* The next PAGES that came: its chunk, and which pages are here and zero. */
static void expect_pages(struct both *b, uint64_t chunk, uint64_t here, uint64_t zero)
{
	struct err err = ERR_INIT;
	struct stream_pages p;
	struct rbuf payload;
	uint32_t type;

	assert_int_equal(channel_receive(&b->to, &type, &payload, &err), 0);
	assert_int_equal(type, STREAM_PAGES);
	assert_int_equal(stream_pages_decode(&payload, &b->job.geometry, &p, &err), 0);
	assert_int_equal(p.chunk, chunk);
	assert_int_equal(p.here, here);
	assert_int_equal(p.zero, zero);
}

static void test_order(void **state)
{
	const uint64_t wanted[] = {299, 70, 71};
	struct both *b = *state;
	struct err err = ERR_INIT;

	/* A page that became zero meanwhile is told as such. */
	memset(b->vm.mem.banks[0].host + 299 * b->page, 0, b->page);
	request(b, wanted, 3);
	request(b, wanted, 1); /* once more, and it is not sent once more */
	assert_int_equal(channel_send_empty(&b->to, STREAM_COMPLETE, &err), 0);
	assert_int_equal(serve(b, false), 0);
	assert_int_equal(b->job.late.left, 4); /* COMPLETE came before any of it was sent */
	assert_int_equal(channel_send_empty(&b->to, STREAM_LOADED, &err), 0);
	assert_int_equal(serve(b, true), -EPROTO);
}

static void test_ahead(void **state)
{
	const uint64_t wanted = 70;
	struct both *b = *state;

	request(b, &wanted, 1);
	shutdown(b->to.wfd, SHUT_WR);
	assert_int_equal(serve(b, true), -ENODATA);
	assert_int_equal(b->job.status.faults, 1);
	/* The line's end is heard of first: what is asked for is still in the book. */
	assert_int_equal(b->job.n_asked, 1);
	assert_int_equal(b->job.late.left, 4);
}

static void *serve_thread(void *arg)
{
	(void)serve(arg, true);
	return NULL;
}

static void test_all(void **state)
{
	const uint64_t wanted = 70;
	struct both *b = *state;
	struct err err = ERR_INIT;
	pthread_t thread;

	request(b, &wanted, 1);
	assert_int_equal(pthread_create(&thread, NULL, serve_thread, b), 0);
	expect_pages(b, 1, 3ull << 6, 0); /* with its neighbour, before the first of all */
	expect_pages(b, 4, 1ull << 43, 0);
	expect_pages(b, 0, 1, 0);
	assert_int_equal(channel_send_empty(&b->to, STREAM_COMPLETE, &err), 0);
	pthread_join(thread, NULL);
	assert_int_equal(b->job.late.left, 0);
}

static void test_hostile(void **state)
{
	uint64_t wanted[STREAM_REQUEST_PAGES];
	struct both *b = *state;

	/* Asked for again and again, it is remembered so often and no more. */
	for (unsigned int i = 0; i < STREAM_REQUEST_PAGES; i++)
		wanted[i] = 70;
	for (unsigned int i = 0; i < SOURCE_REQUESTS / STREAM_REQUEST_PAGES + 1; i++)
		request(b, wanted, STREAM_REQUEST_PAGES);
	assert_int_equal(serve(b, true), -EBADMSG);
	assert_int_equal(b->job.n_asked, SOURCE_REQUESTS);
}

static void test_not_announced(void **state)
{
	const uint64_t wanted = 5;
	struct both *b = *state;

	request(b, &wanted, 1);
	assert_int_equal(serve(b, true), -EBADMSG);
}

static void test_behind_the_end(void **state)
{
	const uint64_t wanted = PAGES;
	struct both *b = *state;

	request(b, &wanted, 1);
	assert_int_equal(serve(b, true), -EBADMSG);
}

static void test_too_early(void **state)
{
	const uint64_t wanted = 70;
	struct both *b = *state;

	b->job.course = SOURCE_LOADING; /* of a migration that has no late pages */
	request(b, &wanted, 1);
	assert_int_equal(serve(b, false), -EPROTO);
}

/* A destination that says ALIVE every 20 ms, and after @n of them @last, unless that is ALIVE. */
struct living {
	struct both *b;
	unsigned int n;
	enum stream_type last;
};

static void *live(void *arg)
{
	struct living *l = arg;
	struct err err = ERR_INIT;

	for (unsigned int i = 0; i < l->n; i++) {
		if (channel_send_empty(&l->b->to, STREAM_ALIVE, &err))
			return NULL;
		usleep(20000);
	}
	if (l->last != STREAM_ALIVE)
		assert_int_equal(channel_send_empty(&l->b->to, l->last, &err), 0);
	return NULL;
}

static int wait_for(struct both *b, enum course_source course, enum stream_type until,
		    unsigned int n, enum stream_type last, struct err *err)
{
	struct living l = {.b = b, .n = n, .last = last};
	struct rbuf payload;
	pthread_t thread;
	int rc;

	b->job.course = course;
	b->job.ch.stall_ms =
		500; /* some 25 of its words: a machine that is busy may take as long for a few */
	b->job.ch.alive_max_ms = 1500;
	assert_int_equal(pthread_create(&thread, NULL, live, &l), 0);
	rc = source_serve(&b->job, until, false, &payload, err);
	pthread_join(thread, NULL);
	return rc;
}

static void test_alive(void **state)
{
	struct both *b = *state;
	struct err err = ERR_INIT;

	/* For longer than the line may stand still. */
	assert_int_equal(wait_for(b, SOURCE_COPYING, STREAM_SEEN, 40, STREAM_SEEN, &err), 0);
	assert_int_equal(wait_for(b, SOURCE_LOADING, STREAM_LOADED, 40, STREAM_LOADED, &err), 0);
	assert_int_equal(wait_for(b, SOURCE_OFFERED, STREAM_ACCEPT, 0, STREAM_SEEN, &err), -EPROTO);
}

/* But not for ever, and not after COMMIT: nobody but the answer lets the guest go on then. */
static void test_alive_without_end(void **state)
{
	struct both *b = *state;
	struct err err = ERR_INIT;

	assert_int_equal(wait_for(b, SOURCE_COPYING, STREAM_SEEN, 100, STREAM_ALIVE, &err),
			 -ETIMEDOUT);
	assert_non_null(strstr(err.msg, "lives, but did not say seen"));
}

static void test_alive_after_commit(void **state)
{
	struct both *b = *state;
	struct err err = ERR_INIT;

	assert_int_equal(wait_for(b, SOURCE_COMMITTED, STREAM_RUNNING, 50, STREAM_ALIVE, &err),
			 -ETIMEDOUT);
	assert_non_null(strstr(err.msg, "stood still"));
}

static void *join_thread(void *arg)
{
	struct both *b = arg;
	struct err err = ERR_INIT;

	(void)source_meet_again(&b->job, &err);
	return NULL;
}

/* The destination's part: hello, REJOIN, then what it lacks. */
static void join(struct both *b, uint64_t word, uint64_t bits, enum stream_type last)
{
	struct err err = ERR_INIT;
	struct rbuf payload;
	pthread_t thread;
	uint8_t id[16];
	uint32_t type;

	assert_int_equal(pthread_create(&thread, NULL, join_thread, b), 0);
	assert_int_equal(channel_hello(&b->to, &err), 0);
	assert_int_equal(channel_receive(&b->to, &type, &payload, &err), 0);
	assert_int_equal(type, STREAM_REJOIN);
	assert_int_equal(stream_rejoin_decode(&payload, id, &err), 0);
	assert_memory_equal(id, b->job.geometry.uuid, sizeof(id));
	if (bits) {
		stream_missing_encode(channel_begin(&b->to, STREAM_MISSING), word, &bits, 1);
		assert_int_equal(channel_send(&b->to, &err), 0);
	}
	assert_int_equal(channel_send_empty(&b->to, last, &err), 0);
	pthread_join(thread, NULL);
}

static void test_join(void **state)
{
	struct both *b = *state;

	b->job.course = SOURCE_KEPT;
	late_map_take(&b->job.late, 1, ~0ull); /* was sent; only one of the two arrived */
	b->job.n_asked = 2;
	join(b, 1, 1ull << 7, STREAM_JOINED);
	assert_int_equal(b->job.course, SOURCE_SERVING);
	assert_int_equal(b->job.late.left, 1);
	assert_true(late_map_wants(&b->job.late, 71));
	assert_int_equal(b->job.n_asked, 0);
}

static void test_join_refused(void **state)
{
	struct both *b = *state;

	b->job.course = SOURCE_KEPT;
	join(b, 1, 1, STREAM_JOINED); /* page 64 never was to come */
	assert_int_equal(b->job.course, SOURCE_KEPT);
}

static void test_join_complete(void **state)
{
	struct both *b = *state;

	b->job.course = SOURCE_UNSURE;
	join(b, 0, 0, STREAM_COMPLETE);
	assert_int_equal(b->job.course, SOURCE_DONE);
}

static void test_explain(void **state)
{
	struct both *b = *state;
	struct err err = ERR_INIT;

	b->job.course = SOURCE_KEPT;
	err_set(&err, -EPIPE, "why");
	source_explain_kept(&b->job, &err);
	assert_non_null(strstr(err.msg, "(why)"));
	assert_non_null(strstr(err.msg, "lkvm migrate first DEST --recover"));
	assert_null(strstr(err.msg, "lkvm resume"));
	b->job.course = SOURCE_UNSURE;
	source_explain_kept(&b->job, &err);
	assert_non_null(strstr(err.msg, "lkvm resume first"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ahead, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_announced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_behind_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_early, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alive_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alive_after_commit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_join, setup, teardown),
		cmocka_unit_test_setup_teardown(test_join_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_join_complete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_explain, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
