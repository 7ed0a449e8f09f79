/* SPDX-License-Identifier: GPL-2.0-only */
/* The control socket's server and clients that are stuck, late, hostile or dead. */
#include "unit.h"

#include <signal.h>

#include "raw_client.h"

static unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void stuck_clients_hold_up_nobody(void **state)
{
	struct fixture *x = *state;
	int fds[3 * CONTROL_MAX_CLIENTS];

	assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
	fds[0] = raw_connect(x);
	raw_send(fds[0], "LKVC", 4);
	assert_serves(x);
	/* A full house, three times over, of clients that say nothing or half a word. */
	for (size_t i = 1; i < sizeof(fds) / sizeof(fds[0]); i++) {
		fds[i] = raw_connect(x);
		if (i % 2)
			raw_send(fds[i], "LKVC", 4);
	}
	for (int i = 0; i < 5; i++)
		assert_serves(x);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
	fake_end(&x->f);
}

/* Who is in the middle of something stays; the oldest of those who are not makes room. */
static void newcomer_replaces_the_oldest_idle(void **state)
{
	struct fixture *x = *state;
	char text[CONTROL_TEXT_MAX];
	int fds[CONTROL_MAX_CLIENTS], late;
	struct wbuf one;

	assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
	request(&one, CONTROL_INFO);
	for (int i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		fds[i] = raw_connect(x);
		if (i < 2)
			raw_send(fds[i], one.data, 5);
		if (i == 1)
			assert_serves(x); /* by then it has seen what those two have said */
		nap_ms(2);
	}
	nap_ms(50); /* longer than the grace */
	late = raw_connect(x);
	raw_request(late, CONTROL_INFO);
	assert_int_equal(raw_reply(late, CONTROL_INFO, text, NULL), 0);
	assert_true(raw_closed(fds[2]));
	for (int i = 0; i < 2; i++) {
		raw_send(fds[i], one.data + 5, one.len - 5);
		assert_int_equal(raw_reply(fds[i], CONTROL_INFO, text, NULL), 0);
	}
	for (int i = 3; i < CONTROL_MAX_CLIENTS; i++) {
		raw_send(fds[i], one.data, one.len);
		assert_int_equal(raw_reply(fds[i], CONTROL_INFO, text, NULL), 0);
	}
	for (int i = 0; i < CONTROL_MAX_CLIENTS; i++)
		close(fds[i]);
	close(late);
	wbuf_release(&one);
	fake_end(&x->f);
}

/* Clients that have only just come are not sent away for one more, who waits its turn instead. */
static void young_clients_are_not_replaced(void **state)
{
	static const struct control_limits lenient = {.client_ns = 30000 * MS,
						      .grace_ns = 10000 * MS};
	struct fixture *x = *state;
	char text[CONTROL_TEXT_MAX];
	int fds[CONTROL_MAX_CLIENTS + 1];

	assert_int_equal(fake_start(&x->f, "alpha", &lenient), 0);
	for (int i = 0; i <= CONTROL_MAX_CLIENTS; i++)
		fds[i] = raw_connect(x);
	raw_request(fds[CONTROL_MAX_CLIENTS], CONTROL_INFO);
	nap_ms(100);
	for (int i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		raw_request(fds[i], CONTROL_INFO);
		assert_int_equal(raw_reply(fds[i], CONTROL_INFO, text, NULL), 0);
	}
	close(fds[0]);
	assert_int_equal(raw_reply(fds[CONTROL_MAX_CLIENTS], CONTROL_INFO, text, NULL), 0);
	for (int i = 1; i <= CONTROL_MAX_CLIENTS; i++)
		close(fds[i]);
	fake_end(&x->f);
}

static void half_a_message_is_dropped(void **state)
{
	struct fixture *x = *state;
	int half, silent, refused;
	uint64_t start;

	assert_int_equal(fake_start(&x->f, "alpha", &hasty), 0);
	start = clock_now_ns();
	half = raw_connect(x);
	raw_send(half, "LKVC\1\0", 6);
	silent = raw_connect(x);
	assert_true(raw_closed(half));
	assert_true(raw_closed(silent));
	assert_in_range(ms_since(start), 150, BOUND_MS);
	/* One that came and was refused goes at once, not when its time is over. */
	start = clock_now_ns();
	refused = raw_connect(x);
	raw_send(refused, "rubbish rubbish", 15);
	while (!raw_closed(refused))
		;
	assert_in_range(ms_since(start), 0, BOUND_MS);
	close(half);
	close(silent);
	close(refused);
	fake_end(&x->f);
}

/* A byte now and then is no sign of life: a message has its time, and no more. */
static void trickle_does_not_prolong(void **state)
{
	static const struct control_limits second = {.client_ns = 1000 * MS, .grace_ns = 20 * MS};
	struct fixture *x = *state;
	uint64_t start;
	bool open = true;
	int fd;

	assert_int_equal(fake_start(&x->f, "alpha", &second), 0);
	start = clock_now_ns();
	fd = raw_connect(x);
	/* The header announces a payload, which comes at 20 bytes a second. */
	raw_send(fd, "LKVC\1\0\1\0\0\4\0\0", CONTROL_HEADER);
	while (open && ms_since(start) < BOUND_MS) {
		open = send(fd, "", 1, MSG_NOSIGNAL) == 1;
		nap_ms(50);
	}
	assert_false(open);
	close(fd);
	fake_end(&x->f);
}

static void who_does_not_read_is_dropped(void **state)
{
	struct fixture *x = *state;
	uint8_t *sink = malloc(CONTROL_MAX_PAYLOAD);
	struct control_header h;
	size_t n;
	int fd;

	assert_non_null(sink);
	assert_int_equal(fake_start(&x->f, "alpha", &hasty), 0);
	x->f.registers = 30000;
	fd = raw_connect(x);
	raw_request(fd, CONTROL_REGISTERS);
	/* Not one byte is read before the server has closed. */
	assert_int_equal(poll(&(struct pollfd){.fd = fd}, 1, 20000), 1);
	n = raw_read(fd, sink, CONTROL_MAX_PAYLOAD);
	assert_true(n > CONTROL_HEADER);
	assert_int_equal(control_header_decode(sink, CONTROL_MAX_PAYLOAD, &h), 0);
	assert_true(n < CONTROL_HEADER + h.length); /* it was cut off */
	assert_serves(x);
	close(fd);
	free(sink);
	fake_end(&x->f);
}

/* Without MSG_NOSIGNAL this test, which has no handler, would not return. */
static void client_dies_in_the_middle_of_its_reply(void **state)
{
	struct fixture *x = *state;
	char some[1000];

	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(fake_start(&x->f, "alpha", &patient), 0);
	x->f.registers = 30000;
	for (int i = 0; i < 50; i++) {
		int fd = raw_connect(x);

		raw_request(fd, CONTROL_REGISTERS);
		if (i % 2)
			raw_read(fd, some, sizeof(some));
		close(fd);
	}
	assert_serves(x);
	fake_end(&x->f);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Rubbish, half of it behind a header that looks good; then nothing of it is left. */
static void garbage_storm(void **state)
{
	struct fixture *x = *state;
	uint32_t seed = 0x12345678;
	uint8_t bytes[6000];
	unsigned int before;

	assert_int_equal(fake_start(&x->f, "alpha", &hasty), 0);
	x->f.stubborn = true; /* STOP may be among it */
	assert_serves(x);
	before = open_fds();
	for (int i = 0; i < 1000; i++) {
		size_t len = next_random(&seed) % sizeof(bytes);
		int fd = raw_connect(x);

		for (size_t k = 0; k < len; k++)
			bytes[k] = (uint8_t)next_random(&seed);
		if (i % 2) {
			memcpy(bytes, "LKVC\1\0", 6);
			bytes[6] = (uint8_t)(next_random(&seed) % 9);
			bytes[7] = bytes[9] = bytes[10] = bytes[11] = 0;
			bytes[8] = (uint8_t)(next_random(&seed) % 8);
		}
		(void)!send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
	}
	assert_serves(x);
	for (uint64_t start = clock_now_ns(); open_fds() > before;) {
		assert_in_range(ms_since(start), 0, 10000);
		nap_ms(20);
	}
	fake_end(&x->f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(stuck_clients_hold_up_nobody),
	TEST(newcomer_replaces_the_oldest_idle),
	TEST(young_clients_are_not_replaced),
	TEST(half_a_message_is_dropped),
	TEST(trickle_does_not_prolong),
	TEST(who_does_not_read_is_dropped),
	TEST(client_dies_in_the_middle_of_its_reply),
	TEST(garbage_storm),
};

UNIT_MAIN(tests)
