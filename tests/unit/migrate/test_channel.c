/* SPDX-License-Identifier: GPL-2.0-only */
/* A migration's connection: whole messages, a line that ends, words that are the last. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migrate/channel.h"
#include "util/clock.h"

struct two {
	struct channel a, b;
	int rc;
};

static void open_two(struct two *t)
{
	struct err err = ERR_INIT;
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(channel_open(&t->a, ends[0], ends[0], &err), 0);
	assert_int_equal(channel_open(&t->b, ends[1], ends[1], &err), 0);
}

static void close_two(struct two *t)
{
	channel_close(&t->a);
	channel_close(&t->b);
}

static void test_messages(void **state)
{
	struct err err = ERR_INIT;
	struct rbuf in;
	struct two t;
	uint32_t type;

	(void)state;
	open_two(&t);
	for (uint32_t i = 0; i < 3; i++) {
		wbuf_u32(channel_begin(&t.a, STREAM_ROUND), i);
		assert_int_equal(channel_send(&t.a, &err), 0);
	}
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(channel_receive(&t.b, &type, &in, &err), 0);
		assert_int_equal(type, STREAM_ROUND);
		assert_int_equal(rbuf_u32(&in), i);
	}
	assert_int_equal(channel_send_empty(&t.b, STREAM_ACCEPT, &err), 0);
	assert_int_equal(channel_receive(&t.a, &type, &in, &err), 0);
	assert_int_equal(type, STREAM_ACCEPT);
	close_two(&t);
}

static void test_through_pipes(void **state)
{
	struct err err = ERR_INIT;
	int there[2], back[2];
	struct rbuf in;
	struct two t;
	uint32_t type;

	(void)state;
	assert_int_equal(pipe(there), 0);
	assert_int_equal(pipe(back), 0);
	assert_int_equal(channel_open(&t.a, back[0], there[1], &err), 0);
	assert_int_equal(channel_open(&t.b, there[0], back[1], &err), 0);
	assert_int_equal(channel_send_empty(&t.a, STREAM_COMMIT, &err), 0);
	assert_int_equal(channel_receive(&t.b, &type, &in, &err), 0);
	channel_abort(&t.a, -EIO, "enough");
	assert_true(channel_last_words(&t.b, &err));
	assert_string_equal(err.msg, "enough");
	close_two(&t);
}

/* A destination that hears something, and has said nothing for long, says that it lives: once, and nothing while all is quick. */
static void test_alive(void **state)
{
	struct err err = ERR_INIT;
	struct rbuf in;
	struct two t;
	uint32_t type;

	(void)state;
	open_two(&t);
	t.b.tells = true;
	for (unsigned int i = 0; i < 3; i++) {
		/* The second time it is due; the first and third it has just said something. */
		t.b.said_ns = clock_now_ns() - (i == 1 ? CHANNEL_ALIVE_MS * 1000000ull : 0);
		wbuf_u32(channel_begin(&t.a, STREAM_ROUND), i);
		assert_int_equal(channel_send(&t.a, &err), 0);
		assert_int_equal(channel_receive(&t.b, &type, &in, &err), 0);
		assert_int_equal(rbuf_u32(&in), i);
	}
	assert_int_equal(channel_send_empty(&t.b, STREAM_SEEN, &err), 0);
	assert_int_equal(channel_receive(&t.a, &type, &in, &err), 0);
	assert_int_equal(type, STREAM_ALIVE);
	assert_int_equal(channel_receive(&t.a, &type, &in, &err), 0);
	assert_int_equal(type, STREAM_SEEN);
	/* The source is not the one that says it. */
	t.a.said_ns = 0;
	assert_int_equal(channel_send_empty(&t.b, STREAM_SEEN, &err), 0);
	assert_int_equal(channel_receive(&t.a, &type, &in, &err), 0);
	assert_int_equal(channel_poll(&t.b, true, NULL, 0, 0, &err), 0);
	close_two(&t);
}

/* Nobody reads what it says, for long: that does not hold up what it takes. And what was said before the end is heard. */
static void test_alive_unheard(void **state)
{
	struct err err = ERR_INIT;
	uint64_t start = clock_now_ns();
	struct rbuf in;
	struct two t;
	uint32_t type;

	(void)state;
	open_two(&t);
	t.b.tells = true;
	for (unsigned int i = 0; i < 5000; i++) {
		t.b.said_ns = 0;
		assert_int_equal(channel_send_empty(&t.a, STREAM_PAUSED, &err), 0);
		assert_int_equal(channel_receive(&t.b, &type, &in, &err), 0);
	}
	assert_true(clock_now_ns() - start < CHANNEL_STALL_MS * 1000000ull);
	t.b.said_ns = clock_now_ns();
	channel_abort(&t.a, -EIO, "enough");
	close(t.a.rfd);
	t.a.rfd = t.a.wfd = -1;
	t.b.said_ns = 0;
	assert_int_equal(channel_receive(&t.b, &type, &in, &err), 0);
	assert_int_equal(type, STREAM_ABORT);
	close_two(&t);
}

/* Byte by byte, each in time: what should be short is not waited for as often as there are bytes. */
static void *drip(void *arg)
{
	struct two *t = arg;

	stream_end(channel_begin(&t->a, STREAM_LOADED), 0);
	for (size_t i = 0; i < t->a.out.len && send(t->a.wfd, t->a.out.data + i, 1, 0) == 1; i++)
		usleep(100000);
	return NULL;
}

static void test_brief(void **state)
{
	struct err err = ERR_INIT;
	pthread_t thread;
	struct two t;

	(void)state;
	open_two(&t);
	t.b.brief = true;
	assert_int_equal(pthread_create(&thread, NULL, drip, &t), 0);
	assert_false(channel_last_words(&t.b, &err)); /* which gives a message a second */
	channel_hang_up(&t.b);
	pthread_join(thread, NULL);
	assert_true(t.b.in.len < t.a.out.len);
	close_two(&t);
}

/* Cut behind each byte of a message: never is a part of one taken for it. */
static void test_cut(void **state)
{
	struct err err = ERR_INIT;
	struct rbuf in;
	struct two t;
	uint32_t type;
	size_t len;

	(void)state;
	open_two(&t);
	wbuf_u32(channel_begin(&t.a, STREAM_ROUND), 1);
	stream_end(&t.a.out, 0);
	len = t.a.out.len;
	close_two(&t);
	for (size_t n = 0; n <= len; n++) {
		open_two(&t);
		wbuf_u32(channel_begin(&t.a, STREAM_ROUND), 1);
		stream_end(&t.a.out, 0);
		assert_int_equal(send(t.a.wfd, t.a.out.data, n, 0), n);
		close(t.a.wfd);
		t.a.wfd = t.a.rfd = -1;
		assert_int_equal(channel_receive(&t.b, &type, &in, &err), n < len ? -ENODATA : 0);
		close_two(&t);
	}
}

static void test_flipped(void **state)
{
	struct err err = ERR_INIT;
	struct rbuf in;
	struct two t;
	uint32_t type;
	size_t len = STREAM_HEADER + 4 + STREAM_CHECKSUM;

	(void)state;
	for (size_t bit = 0; bit < len * 8; bit++) {
		open_two(&t);
		wbuf_u32(channel_begin(&t.a, STREAM_ROUND), 1);
		stream_end(&t.a.out, 0);
		t.a.out.data[bit / 8] ^= 1u << bit % 8;
		assert_int_equal(send(t.a.wfd, t.a.out.data, len, 0), len);
		shutdown(t.a.wfd, SHUT_WR);
		assert_true(channel_receive(&t.b, &type, &in, &err) < 0);
		close_two(&t);
	}
}

static void *wait_for_message(void *arg)
{
	struct two *t = arg;
	struct err err = ERR_INIT;
	struct rbuf in;
	uint32_t type;

	t->rc = channel_receive(&t->b, &type, &in, &err);
	return NULL;
}

static void test_cancel(void **state)
{
	struct err err = ERR_INIT;
	pthread_t thread;
	struct two t;

	(void)state;
	open_two(&t);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_message, &t), 0);
	channel_cancel(&t.b);
	pthread_join(thread, NULL);
	assert_int_equal(t.rc, -ECANCELED);
	/* The other side is told all the same. */
	shutdown(t.a.wfd, SHUT_WR);
	channel_abort(&t.b, -ECANCELED, "cancelled by its user");
	assert_true(channel_last_words(&t.a, &err));
	assert_string_equal(err.msg, "cancelled by its user");
	close_two(&t);
}

static void test_last_words(void **state)
{
	struct err err = ERR_INIT;
	int rc = 0;
	struct two t;

	(void)state;
	open_two(&t);
	assert_int_equal(channel_send_empty(&t.b, STREAM_SEEN, &err), 0);
	shutdown(t.a.wfd, SHUT_WR); /* so that channel_abort() does not wait for more */
	channel_abort(&t.b, -ENOSPC, "no memory here");
	channel_close(&t.b);
	while (!rc)
		rc = channel_send_empty(&t.a, STREAM_PAGES, &err);
	assert_int_equal(rc, -EPIPE);
	assert_true(channel_last_words(&t.a, &err));
	assert_string_equal(err.msg, "no memory here");
	close_two(&t);
}

static void *send_long(void *arg)
{
	static const uint8_t zeros[4096];
	struct err err = ERR_INIT;
	struct two *t = arg;
	struct wbuf *out = channel_begin(&t->a, STREAM_STATE);

	for (unsigned int i = 0; i < 4096; i++)
		wbuf_bytes(out, zeros, sizeof(zeros));
	t->rc = channel_send(&t->a, &err);
	return NULL;
}

/* Nothing is said behind a message that was sent in part: it could become whole by that. */
static void test_torn(void **state)
{
	size_t before = 0, after = 0;
	pthread_t thread;
	uint8_t bytes[4096];
	struct two t;
	ssize_t n;

	(void)state;
	open_two(&t);
	assert_int_equal(pthread_create(&thread, NULL, send_long, &t), 0);
	assert_int_equal(recv(t.b.rfd, bytes, 1, MSG_PEEK), 1);
	channel_cancel(&t.a);
	pthread_join(thread, NULL);
	assert_int_equal(t.rc, -ECANCELED);
	while ((n = recv(t.b.rfd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		before += (size_t)n;
	assert_in_range(before, 1, 4096 * sizeof(bytes));
	shutdown(t.b.wfd, SHUT_WR); /* who would wait for an answer need not */
	channel_abort(&t.a, -EIO, "enough");
	channel_hang_up(&t.a);
	while ((n = recv(t.b.rfd, bytes, sizeof(bytes), 0)) > 0)
		after += (size_t)n;
	assert_int_equal(after, 0);
	close_two(&t);
}

static void test_rate(void **state)
{
	struct timespec a, b;
	struct err err = ERR_INIT;
	struct two t;

	(void)state;
	open_two(&t);
	channel_limit(&t.a, 1000);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(channel_send_empty(&t.a, STREAM_ACCEPT, &err), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	/* 240 bytes at 1000 a second. */
	assert_true((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 >= 200);
	close_two(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),   cmocka_unit_test(test_through_pipes),
		cmocka_unit_test(test_alive),	   cmocka_unit_test(test_alive_unheard),
		cmocka_unit_test(test_brief),	   cmocka_unit_test(test_cut),
		cmocka_unit_test(test_flipped),	   cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_last_words), cmocka_unit_test(test_torn),
		cmocka_unit_test(test_rate),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
