/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "util/err.h"

static void set_stores_and_returns(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(err_set(&err, -EINVAL, "%s has %d legs", "dog", 3), -EINVAL);
	assert_string_equal(err.msg, "dog has 3 legs");
	assert_int_equal(err_set(&err, -EIO, "again"), -EIO);
	assert_string_equal(err.msg, "again");
}

static void null_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, -EINVAL, "%d", 1), -EINVAL);
	assert_int_equal(err_sys(NULL, -ENOENT, "%d", 1), -ENOENT);
	err_prefix(NULL, "%d", 1);
}

static void sys_appends_words(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(err_sys(&err, -ENOENT, "/no/such"), -ENOENT);
	assert_string_equal(err.msg, "/no/such: No such file or directory");
}

static void prefix_goes_in_front(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	err_set(&err, -EIO, "broken");
	err_prefix(&err, "vcpu %d", 2);
	err_prefix(&err, "guest");
	assert_string_equal(err.msg, "guest: vcpu 2: broken");
}

/* The text that is replaced may be an argument of the one that replaces it. */
static void may_quote_itself(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	err_set(&err, -EIO, "inner");
	err_set(&err, -EIO, "outer (%s)", err.msg);
	assert_string_equal(err.msg, "outer (inner)");
	err_prefix(&err, "%s", err.msg);
	assert_string_equal(err.msg, "outer (inner): outer (inner)");
	err_sys(&err, -EIO, "%s", err.msg);
	assert_string_equal(err.msg, "outer (inner): outer (inner): Input/output error");
}

struct guarded {
	char before[8];
	struct err err;
	char after[8];
};

static void assert_guards(const struct guarded *g)
{
	for (int i = 0; i < 8; i++) {
		assert_int_equal(g->before[i], 0x55);
		assert_int_equal(g->after[i], 0x55);
	}
	assert_non_null(memchr(g->err.msg, '\0', sizeof(g->err.msg)));
}

static void too_long_is_cut(void **state)
{
	struct guarded g;
	char text[2000];
	size_t max = sizeof(g.err.msg) - 1;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';

	/* Around the border, then far past it. */
	for (size_t len = max - 3; len < sizeof(text); len += len < max + 3 ? 1 : 500) {
		memset(&g, 0x55, sizeof(g));
		err_set(&g.err, -EIO, "%.*s", (int)len, text);
		assert_guards(&g);
		assert_int_equal(strlen(g.err.msg), len < max ? len : max);
	}

	memset(&g, 0x55, sizeof(g));
	err_set(&g.err, -EIO, "%s", text);
	err_prefix(&g.err, "front");
	assert_guards(&g);
	assert_memory_equal(g.err.msg, "front: xxx", 10);
	assert_int_equal(strlen(g.err.msg), max);

	memset(&g, 0x55, sizeof(g));
	err_set(&g.err, -EIO, "back");
	err_prefix(&g.err, "%s", text);
	assert_guards(&g);
	assert_int_equal(strlen(g.err.msg), max);
}

/* The reason is what a user needs most: it survives a path of any length. */
static void sys_keeps_the_reason(void **state)
{
	struct guarded g;
	char text[2000];
	const char *end;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memset(&g, 0x55, sizeof(g));
	err_sys(&g.err, -ENOENT, "%s", text);
	assert_guards(&g);
	end = strstr(g.err.msg, "x: ");
	assert_non_null(end);
	assert_string_equal(end, "x: No such file or directory");
}

static void stays_one_line(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	err_set(&err, -EINVAL, "a\nb\rc\033[2Jd\x7f%s", "\t\xc3\xa9");
	assert_string_equal(err.msg, "a?b?c?[2Jd??\xc3\xa9");
	err_prefix(&err, "p\n");
	assert_string_equal(err.msg, "p?: a?b?c?[2Jd??\xc3\xa9");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(set_stores_and_returns), cmocka_unit_test(null_is_allowed),
	cmocka_unit_test(sys_appends_words),	  cmocka_unit_test(prefix_goes_in_front),
	cmocka_unit_test(may_quote_itself),	  cmocka_unit_test(too_long_is_cut),
	cmocka_unit_test(sys_keeps_the_reason),	  cmocka_unit_test(stays_one_line),
};

UNIT_MAIN(tests)
