/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "util/json.h"

static struct wbuf out;
static struct json j;

static void begin(void)
{
	wbuf_init(&out, 1 << 16);
	json_init(&j, &out);
}

static void expect(const char *text)
{
	wbuf_u8(&out, 0);
	assert_int_equal(out.error, 0);
	assert_string_equal((const char *)out.data, text);
	wbuf_release(&out);
}

static void expect_error(int error)
{
	assert_int_equal(out.error, error);
	wbuf_release(&out);
}

static void nests_with_commas(void **state)
{
	(void)state;
	begin();
	json_object(&j, NULL);
	json_str(&j, "name", "g");
	json_u64(&j, "n", 0);
	json_u64(&j, "max", UINT64_MAX);
	json_array(&j, "list");
	json_u64(&j, NULL, 1);
	json_object(&j, NULL);
	json_end(&j);
	json_array(&j, NULL);
	json_end(&j);
	json_bool(&j, NULL, true);
	json_end(&j);
	json_bool(&j, "no", false);
	json_str(&j, "nil", NULL);
	json_end(&j);
	expect("{\"name\":\"g\",\"n\":0,\"max\":18446744073709551615,"
	       "\"list\":[1,{},[],true],\"no\":false,\"nil\":null}\n");
}

static void one_value_a_line(void **state)
{
	(void)state;
	begin();
	json_object(&j, NULL);
	json_end(&j);
	json_u64(&j, NULL, 7);
	json_str(&j, NULL, "x");
	json_bool(&j, NULL, true);
	expect("{}\n7\n\"x\"\ntrue\n");
}

static void str(const char *value, const char *text)
{
	begin();
	json_str(&j, NULL, value);
	expect(text);
}

static void escapes(void **state)
{
	(void)state;
	str("", "\"\"\n");
	str("a\"b\\c/d", "\"a\\\"b\\\\c/d\"\n");
	str("\n\r\t", "\"\\n\\r\\t\"\n");
	str("\x01\x08\x0c\x1f\x7f", "\"\\u0001\\u0008\\u000c\\u001f\\u007f\"\n");
	str("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa7",
	    "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa7\"\n");
	begin();
	json_object(&j, NULL);
	json_str(&j, "k\"\xff", "v");
	json_end(&j);
	expect("{\"k\\\"\xef\xbf\xbd\":\"v\"}\n");
}

#define R "\xef\xbf\xbd"

/* RFC 3629: what is not the shortest form, a surrogate, past U+10FFFF, or cut, is not UTF-8. */
static void invalid_utf8_is_replaced(void **state)
{
	(void)state;
	str("a\x80z", "\"a" R "z\"\n");
	str("a\xffz", "\"a" R "z\"\n");
	str("\xc0\xaf", "\"" R R "\"\n"); /* overlong slash */
	str("\xc1\xbf", "\"" R R "\"\n");
	str("\xc2\x80\xdf\xbf", "\"\xc2\x80\xdf\xbf\"\n"); /* the first and last of two bytes */
	str("\xc2\xc0", "\"" R R "\"\n");
	str("\xe0\x9f\xbf", "\"" R R R "\"\n");	   /* overlong */
	str("\xe0\xa0\x80", "\"\xe0\xa0\x80\"\n"); /* the first that is not */
	str("\xed\xa0\x80", "\"" R R R "\"\n");	   /* surrogate */
	str("\xed\x9f\xbf", "\"\xed\x9f\xbf\"\n");
	str("\xf0\x8f\xbf\xbf", "\"" R R R R "\"\n");
	str("\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"\n"); /* U+10FFFF */
	str("\xf4\x90\x80\x80", "\"" R R R R "\"\n");
	str("\xf5\x80\x80\x80", "\"" R R R R "\"\n");
	/* Cut by the end of the string, and by other characters. */
	str("\xc3", "\"" R "\"\n");
	str("\xe2\x82", "\"" R R "\"\n");
	str("\xf0\x9f\x90", "\"" R R R "\"\n");
	str("\xe2\x82\"x", "\"" R R "\\\"x\"\n");
	str("\xc3\xc3\xa9", "\"" R "\xc3\xa9\"\n");
}

static void misuse_is_an_error(void **state)
{
	(void)state;
	begin();
	json_end(&j);
	expect_error(-EINVAL);

	begin();
	json_str(&j, "key", "at the top");
	expect_error(-EINVAL);

	begin();
	json_object(&j, NULL);
	json_u64(&j, NULL, 1); /* no key */
	expect_error(-EINVAL);

	begin();
	json_array(&j, NULL);
	json_bool(&j, "key", true);
	expect_error(-EINVAL);
}

static void depth_is_bounded(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < JSON_DEPTH; i++)
		json_array(&j, NULL);
	for (int i = 0; i < JSON_DEPTH; i++)
		json_end(&j);
	expect("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]\n");

	begin();
	for (int i = 0; i < JSON_DEPTH + 5; i++)
		json_array(&j, NULL);
	for (int i = 0; i < JSON_DEPTH; i++)
		json_end(&j);
	expect_error(-E2BIG);
}

static void full_buffer_is_an_error(void **state)
{
	(void)state;
	wbuf_init(&out, 5);
	json_init(&j, &out);
	json_str(&j, NULL, "four");
	expect_error(-E2BIG);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(nests_with_commas),
	cmocka_unit_test(one_value_a_line),
	cmocka_unit_test(escapes),
	cmocka_unit_test(invalid_utf8_is_replaced),
	cmocka_unit_test(misuse_is_an_error),
	cmocka_unit_test(depth_is_bounded),
	cmocka_unit_test(full_buffer_is_an_error),
};

UNIT_MAIN(tests)
