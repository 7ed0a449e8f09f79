/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/buf.h"

static void bytes_are_little_endian(void **state)
{
	static const uint8_t expect[] = {
		0x01,						/* u8 */
		0x03, 0x02,					/* u16 */
		0x07, 0x06, 0x05, 0x04,				/* u32 */
		0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08, /* u64 */
		0x02, 0x00, 'h',  'i',				/* str */
		0x00, 0x00,					/* empty str */
		0xaa, 0xbb,					/* bytes */
	};
	struct wbuf b;

	(void)state;
	wbuf_init(&b, 1000);
	wbuf_u8(&b, 1);
	wbuf_u16(&b, 0x0203);
	wbuf_u32(&b, 0x04050607);
	wbuf_u64(&b, 0x08090a0b0c0d0e0f);
	wbuf_str(&b, "hi");
	wbuf_str(&b, "");
	wbuf_bytes(&b, "\xaa\xbb", 2);
	assert_int_equal(b.error, 0);
	assert_int_equal(b.len, sizeof(expect));
	assert_memory_equal(b.data, expect, sizeof(expect));
	wbuf_release(&b);
}

/* @in has no byte to spare, so that AddressSanitizer sees a read past the end. */
static struct rbuf exact(const void *in, size_t len, uint8_t **copy)
{
	struct rbuf r;

	*copy = malloc(len ? len : 1);
	assert_non_null(*copy);
	memcpy(*copy, in, len);
	rbuf_init(&r, *copy, len);
	return r;
}

static void read_all(struct rbuf *r, uint64_t v[4], char s[8], uint8_t raw[2])
{
	v[0] = rbuf_u8(r);
	v[1] = rbuf_u16(r);
	v[2] = rbuf_u32(r);
	v[3] = rbuf_u64(r);
	rbuf_str(r, s, 8);
	rbuf_bytes(r, raw, 2);
}

static void round_trip_and_truncations(void **state)
{
	uint64_t v[4];
	char s[8];
	uint8_t raw[2], *copy;
	struct wbuf w;
	struct rbuf r;

	(void)state;
	wbuf_init(&w, 1000);
	wbuf_u8(&w, 0xff);
	wbuf_u16(&w, 0xfffe);
	wbuf_u32(&w, 0xfffffffd);
	wbuf_u64(&w, 0xfffffffffffffffc);
	wbuf_str(&w, "seven77");
	wbuf_bytes(&w, "\x01\x02", 2);

	r = exact(w.data, w.len, &copy);
	read_all(&r, v, s, raw);
	assert_int_equal(rbuf_left(&r), 0);
	assert_int_equal(rbuf_done(&r), 0);
	assert_int_equal(v[0], 0xff);
	assert_int_equal(v[1], 0xfffe);
	assert_int_equal(v[2], 0xfffffffd);
	assert_true(v[3] == 0xfffffffffffffffc);
	assert_string_equal(s, "seven77");
	assert_memory_equal(raw, "\x01\x02", 2);
	free(copy);

	for (size_t cut = 0; cut < w.len; cut++) {
		r = exact(w.data, cut, &copy);
		memset(raw, 0x55, sizeof(raw));
		read_all(&r, v, s, raw);
		assert_int_equal(r.error, -EBADMSG);
		assert_int_equal(rbuf_done(&r), -EBADMSG);
		assert_int_equal(rbuf_left(&r), 0);
		assert_int_equal(raw[0] | raw[1], 0); /* the last field is always hit */
		free(copy);
	}
	wbuf_release(&w);
}

static void left_over_bytes_are_refused(void **state)
{
	struct rbuf r;

	(void)state;
	rbuf_init(&r, "\1\2\3", 3);
	assert_int_equal(rbuf_u16(&r), 0x0201);
	assert_int_equal(r.error, 0);
	assert_int_equal(rbuf_left(&r), 1);
	assert_int_equal(rbuf_done(&r), -EBADMSG);
	/* Sticky: reading on does not repair it. */
	assert_int_equal(rbuf_u8(&r), 0);
	assert_int_equal(rbuf_done(&r), -EBADMSG);
}

static void read_error_is_sticky(void **state)
{
	uint8_t raw[1] = {9};
	struct rbuf r;
	char s[4] = "x";

	(void)state;
	rbuf_init(&r, "\1\0x\4", 4);
	assert_int_equal(rbuf_u64(&r), 0);
	assert_int_equal(r.error, -EBADMSG);
	/* Each of these would succeed without the error. */
	assert_int_equal(rbuf_u8(&r), 0);
	assert_int_equal(rbuf_u16(&r), 0);
	assert_int_equal(rbuf_u32(&r), 0);
	rbuf_bytes(&r, raw, 1);
	assert_int_equal(raw[0], 0);
	rbuf_str(&r, s, sizeof(s));
	assert_string_equal(s, "");
}

static void empty_reader(void **state)
{
	struct rbuf r;

	(void)state;
	rbuf_init(&r, NULL, 0);
	rbuf_bytes(&r, NULL, 0);
	assert_int_equal(rbuf_done(&r), 0);
	assert_int_equal(rbuf_u8(&r), 0);
	assert_int_equal(rbuf_done(&r), -EBADMSG);
}

static int read_str(const void *in, size_t len, size_t size, char *s)
{
	uint8_t *copy;
	struct rbuf r = exact(in, len, &copy);
	char *tight = malloc(size ? size : 1);

	assert_non_null(tight);
	rbuf_str(&r, tight, size);
	if (size) {
		assert_non_null(memchr(tight, '\0', size));
		memcpy(s, tight, strlen(tight) + 1);
	}
	free(tight);
	free(copy);
	return r.error;
}

static void strings_are_bounded(void **state)
{
	char s[16];

	(void)state;
	assert_int_equal(read_str("\3\0abc", 5, 4, s), 0);
	assert_string_equal(s, "abc");
	/* One too many for its place. */
	assert_int_equal(read_str("\3\0abc", 5, 3, s), -EBADMSG);
	assert_string_equal(s, "");
	assert_int_equal(read_str("\0\0", 2, 1, s), 0);
	assert_string_equal(s, "");
	assert_int_equal(read_str("\0\0", 2, 0, s), -EBADMSG);
	/* A NUL inside, at the start and at the end. */
	assert_int_equal(read_str("\3\0a\0c", 5, 8, s), -EBADMSG);
	assert_string_equal(s, "");
	assert_int_equal(read_str("\3\0\0bc", 5, 8, s), -EBADMSG);
	assert_int_equal(read_str("\3\0ab\0", 5, 8, s), -EBADMSG);
	/* A length that says more than there is. */
	assert_int_equal(read_str("\4\0abc", 5, 8, s), -EBADMSG);
	assert_int_equal(read_str("\xff\xff"
				  "abc",
				  5, 8, s),
			 -EBADMSG);
	assert_int_equal(read_str("\3", 1, 8, s), -EBADMSG);
}

static void long_strings_are_refused(void **state)
{
	size_t len = 65536;
	char *text = malloc(len + 1);
	struct wbuf w;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', len);
	text[len] = '\0';
	wbuf_init(&w, 1 << 20);
	wbuf_str(&w, text + 1); /* 65535 */
	assert_int_equal(w.error, 0);
	assert_int_equal(w.len, 65537);
	wbuf_str(&w, text);
	assert_int_equal(w.error, -E2BIG);
	assert_int_equal(w.len, 65537);
	wbuf_release(&w);
	free(text);
}

static void growth_stops_at_max(void **state)
{
	struct wbuf w;

	(void)state;
	for (size_t max = 0; max < 600; max += 7) {
		wbuf_init(&w, max);
		for (size_t i = 0; i < max; i++) {
			wbuf_u8(&w, (uint8_t)i);
			assert_int_equal(w.error, 0);
			assert_true(w.cap <= max);
		}
		wbuf_u8(&w, 1);
		assert_int_equal(w.error, -E2BIG);
		assert_int_equal(w.len, max);
		for (size_t i = 0; i < max; i++)
			assert_int_equal(w.data[i], (uint8_t)i);
		wbuf_release(&w);
	}
}

static void write_error_is_sticky(void **state)
{
	struct wbuf w;

	(void)state;
	wbuf_init(&w, 4);
	wbuf_u64(&w, 1);
	assert_int_equal(w.error, -E2BIG);
	/* Would fit, but comes too late. */
	wbuf_u8(&w, 1);
	wbuf_bytes(&w, "x", 1);
	wbuf_str(&w, "");
	wbuf_patch_u32(&w, 0, 1);
	assert_int_equal(w.len, 0);
	assert_int_equal(w.error, -E2BIG);
	wbuf_release(&w);
	/* After the release it is as new, with the same limit. */
	wbuf_u32(&w, 1);
	assert_int_equal(w.error, 0);
	wbuf_u8(&w, 1);
	assert_int_equal(w.error, -E2BIG);
	wbuf_release(&w);
}

/* AddressSanitizer remarks on an allocation that it refuses; here that is wanted. */
static void say_nothing(bool on)
{
	static int saved = -1;

	if (on) {
		saved = dup(STDERR_FILENO);
		close(STDERR_FILENO);
	} else {
		dup2(saved, STDERR_FILENO);
		close(saved);
	}
}

static void absurd_lengths(void **state)
{
	struct wbuf w;
	struct rbuf r;

	(void)state;
	wbuf_init(&w, SIZE_MAX);
	wbuf_u8(&w, 1);
	say_nothing(true);
	wbuf_bytes(&w, &w, SIZE_MAX - 1); /* the sum fits SIZE_MAX, no allocation does */
	say_nothing(false);
	assert_int_equal(w.error, -ENOMEM);
	assert_int_equal(w.len, 1);
	wbuf_release(&w);

	wbuf_init(&w, SIZE_MAX);
	wbuf_u8(&w, 1);
	wbuf_bytes(&w, &w, SIZE_MAX); /* the sum wraps around */
	assert_int_equal(w.error, -E2BIG);
	wbuf_release(&w);

	rbuf_init(&r, "abc", 3);
	r.pos = 2;
	assert_int_equal(rbuf_u32(&r), 0);
	assert_int_equal(r.error, -EBADMSG);
	assert_int_equal(r.pos, 2);
}

static void patch_is_checked(void **state)
{
	struct wbuf w;

	(void)state;
	wbuf_init(&w, 100);
	wbuf_u8(&w, 0xaa);
	wbuf_u32(&w, 0);
	wbuf_u8(&w, 0xbb);
	wbuf_patch_u32(&w, 1, 0x01020304);
	assert_int_equal(w.error, 0);
	assert_memory_equal(w.data, "\xaa\4\3\2\1\xbb", 6);
	wbuf_patch_u32(&w, 2, 0x01010101); /* the last place where it fits */
	assert_int_equal(w.error, 0);
	wbuf_patch_u32(&w, 3, 0);
	assert_int_equal(w.error, -EINVAL);
	wbuf_release(&w);

	wbuf_init(&w, 100);
	wbuf_u32(&w, 0);
	wbuf_patch_u32(&w, SIZE_MAX - 1, 0);
	assert_int_equal(w.error, -EINVAL);
	wbuf_release(&w);
}

static void parts_are_bounded(void **state)
{
	static const uint8_t bytes[] = {2, 0, 0, 0, 'h', 'i', 0xff, 0xff, 0xff, 0xff, 'x'};
	struct rbuf r, part;

	(void)state;
	rbuf_init(&r, bytes, sizeof(bytes));
	rbuf_part(&r, &part);
	assert_int_equal(rbuf_left(&part), 2);
	assert_int_equal(rbuf_u8(&part), 'h');
	assert_int_equal(rbuf_u8(&part), 'i');
	assert_int_equal(rbuf_done(&part), 0);
	rbuf_part(&r, &part); /* longer than what is there */
	assert_int_equal(r.error, -EBADMSG);
	assert_int_equal(part.len, 0);
	rbuf_part(&r, &part);
	assert_int_equal(part.len, 0);
	for (size_t n = 0; n < 6; n++) {
		rbuf_init(&r, bytes, n);
		rbuf_part(&r, &part);
		assert_int_equal(r.error, -EBADMSG);
		assert_int_equal(part.len, 0);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(bytes_are_little_endian),
	cmocka_unit_test(round_trip_and_truncations),
	cmocka_unit_test(left_over_bytes_are_refused),
	cmocka_unit_test(read_error_is_sticky),
	cmocka_unit_test(empty_reader),
	cmocka_unit_test(strings_are_bounded),
	cmocka_unit_test(long_strings_are_refused),
	cmocka_unit_test(growth_stops_at_max),
	cmocka_unit_test(write_error_is_sticky),
	cmocka_unit_test(absurd_lengths),
	cmocka_unit_test(patch_is_checked),
	cmocka_unit_test(parts_are_bounded),
};

UNIT_MAIN(tests)
