/* SPDX-License-Identifier: GPL-2.0-only */
/* Post-copy's book: what comes late, what was taken of it, and how one side tells the other. */
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "migrate/late-map.h"

#define WORDS (STREAM_MISSING_WORDS + 100)
#define PAGES (WORDS * 64 - 3)

static void test_book(void **state)
{
	struct err err = ERR_INIT;
	struct late_map map;
	uint64_t word = 99;

	(void)state;
	assert_int_equal(late_map_init(&map, PAGES, &err), 0);
	assert_int_equal(map.words, WORDS);
	assert_false(late_map_next(&map, &word));
	late_map_add(&map, 3, 0xff);
	late_map_add(&map, 3, 0x180);
	late_map_add(&map, WORDS - 1, 1);
	assert_int_equal(map.left, 10);
	assert_true(late_map_wants(&map, 3 * 64 + 8));
	assert_false(late_map_wants(&map, 3 * 64 + 9));
	assert_true(late_map_next(&map, &word));
	assert_int_equal(word, 3);
	assert_int_equal(late_map_take(&map, 3, 0x3c), 0x3c);
	assert_int_equal(late_map_take(&map, 3, 0x3c), 0); /* once */
	assert_true(late_map_announced(&map, 3 * 64 + 2));
	assert_false(late_map_wants(&map, 3 * 64 + 2));
	map.cursor = 4;
	assert_true(late_map_next(&map, &word));
	assert_int_equal(word, WORDS - 1);
	assert_int_equal(late_map_take(&map, word, ~0ull), 1);
	assert_true(late_map_next(&map, &word)); /* from the start again */
	assert_int_equal(word, 3);
	assert_int_equal(late_map_take(&map, 3, ~0ull), 0x1c3);
	assert_int_equal(map.left, 0);
	assert_false(late_map_next(&map, &word));
	late_map_release(&map);
}

struct pair {
	struct channel a, b;
	struct late_map from, to;
};

static void open_pair(struct pair *p)
{
	struct err err = ERR_INIT;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(channel_open(&p->a, ends[0], ends[0], &err), 0);
	assert_int_equal(channel_open(&p->b, ends[1], ends[1], &err), 0);
	assert_int_equal(late_map_init(&p->from, PAGES, &err), 0);
	assert_int_equal(late_map_init(&p->to, PAGES, &err), 0);
}

static void close_pair(struct pair *p)
{
	channel_close(&p->a);
	channel_close(&p->b);
	late_map_release(&p->from);
	late_map_release(&p->to);
}

/* Tells, and hears; the number of messages. */
static unsigned int tell(struct pair *p, bool again, int *rc)
{
	struct err err = ERR_INIT;
	struct rbuf payload;
	unsigned int messages = 0;
	uint64_t first;
	uint32_t type;
	size_t n;

	assert_int_equal(late_map_tell(&p->from, &p->a, &err), 0);
	assert_int_equal(channel_send_empty(&p->a, STREAM_JOINED, &err), 0);
	*rc = 0;
	for (;;) {
		assert_int_equal(channel_receive(&p->b, &type, &payload, &err), 0);
		if (type == STREAM_JOINED)
			return messages;
		assert_int_equal(type, STREAM_MISSING);
		messages++;
		if (!*rc)
			*rc = again ? late_map_hear_again(&p->to, &payload, &err)
				    : late_map_hear(&p->to, &payload, &first, &n, &err);
	}
}

static void test_tell(void **state)
{
	struct pair p = {0};
	int rc;

	(void)state;
	open_pair(&p);
	assert_int_equal(tell(&p, false, &rc), 0); /* nothing is nothing */
	late_map_add(&p.from, 0, 1ull << 63);
	late_map_add(&p.from, 7, 5);
	late_map_add(&p.from, WORDS - 1, 1);
	assert_int_equal(tell(&p, false, &rc), 2);
	assert_int_equal(rc, 0);
	assert_int_equal(p.to.left, 4);
	assert_memory_equal(p.to.todo, p.from.todo, WORDS * 8);
	/* The same words once more. */
	assert_int_equal(tell(&p, false, &rc), 2);
	assert_int_equal(rc, -EBADMSG);
	close_pair(&p);
}

static void test_join(void **state)
{
	struct pair p = {0};
	int rc;

	(void)state;
	open_pair(&p);
	late_map_add(&p.to, 7, 5);
	late_map_add(&p.to, 9, 1);
	late_map_add(&p.from, 7, 4);
	late_map_take(&p.to, 7, 5); /* was sent, but did not come */
	late_map_forget(&p.to);
	assert_int_equal(tell(&p, true, &rc), 1);
	assert_int_equal(rc, 0);
	assert_int_equal(p.to.left, 1);
	assert_true(late_map_wants(&p.to, 7 * 64 + 2));
	/* Again, after another break; but not more than it was to get. */
	late_map_add(&p.from, 10, 1);
	late_map_forget(&p.to);
	(void)tell(&p, true, &rc);
	assert_int_equal(rc, -EBADMSG);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_book),
		cmocka_unit_test(test_tell),
		cmocka_unit_test(test_join),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
