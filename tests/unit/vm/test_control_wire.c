/* SPDX-License-Identifier: GPL-2.0-only */
/* The control protocol's bytes, without a socket. */
#include "unit.h"

#include "fake_vm.h"

/* --- framing --- */

static const uint8_t good_header[CONTROL_HEADER] = {
	'L', 'K', 'V', 'C', /* magic */
	1,   0,		    /* version */
	6,   0,		    /* REGISTERS */
	4,   0,	  0,   0,   /* length */
};

static void header_is_pinned(void **state)
{
	struct control_header h;
	struct wbuf out;

	(void)state;
	wbuf_init(&out, 64);
	control_header_encode(&out, CONTROL_REGISTERS, 4);
	assert_int_equal(out.len, CONTROL_HEADER);
	assert_memory_equal(out.data, good_header, CONTROL_HEADER);
	wbuf_release(&out);
	assert_int_equal(control_header_decode(good_header, 4, &h), 0);
	assert_int_equal(h.version, 1);
	assert_int_equal(h.type, CONTROL_REGISTERS);
	assert_int_equal(h.length, 4);
}

static void header_refuses_each_flipped_bit(void **state)
{
	struct control_header h;
	uint8_t bytes[CONTROL_HEADER];

	(void)state;
	for (unsigned int bit = 0; bit < CONTROL_HEADER * 8; bit++) {
		int want = 0;

		memcpy(bytes, good_header, sizeof(bytes));
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (bit < 32)
			want = -EBADMSG;
		else if (bit < 48)
			want = -EPROTONOSUPPORT;
		else if (bit >= 64)
			want = bit == 66 ? 0 : -EMSGSIZE; /* bit 66 makes the length 0 */
		assert_int_equal(control_header_decode(bytes, 4, &h), want);
	}
}

static size_t feed(struct control_frame *f, const uint8_t *bytes, size_t len, size_t step, int *rc)
{
	size_t fed = 0;

	*rc = 0;
	while (!*rc && fed < len) {
		uint8_t *at;
		size_t n = control_frame_room(f, &at);

		assert_true(n > 0);
		if (n > step)
			n = step;
		if (n > len - fed)
			n = len - fed;
		memcpy(at, bytes + fed, n);
		fed += n;
		*rc = control_frame_filled(f, n);
	}
	return fed;
}

static void frame_in_pieces(void **state)
{
	uint8_t bytes[CONTROL_HEADER + 40];
	struct control_frame f;
	int rc;

	(void)state;
	memcpy(bytes, good_header, CONTROL_HEADER);
	bytes[8] = 40;
	for (size_t i = 0; i < 40; i++)
		bytes[CONTROL_HEADER + i] = (uint8_t)(i * 7);
	control_frame_init(&f, 40);
	for (size_t step = 1; step <= sizeof(bytes); step++) {
		assert_int_equal(feed(&f, bytes, sizeof(bytes), step, &rc), sizeof(bytes));
		assert_int_equal(rc, 1);
		assert_int_equal(f.h.length, 40);
		assert_memory_equal(f.payload, bytes + CONTROL_HEADER, 40);
		control_frame_release(&f);
	}
	/* Every truncation is a message that has not come yet. */
	for (size_t len = 0; len < sizeof(bytes); len++) {
		assert_int_equal(feed(&f, bytes, len, 5, &rc), len);
		assert_int_equal(rc, 0);
		control_frame_release(&f);
	}
}

static void frame_takes_no_more_than_its_message(void **state)
{
	uint8_t bytes[2 * CONTROL_HEADER];
	struct control_frame f;
	int rc;

	(void)state;
	memcpy(bytes, good_header, CONTROL_HEADER);
	bytes[8] = 0;
	memset(bytes + CONTROL_HEADER, 0xee, CONTROL_HEADER);
	control_frame_init(&f, 40);
	assert_int_equal(feed(&f, bytes, sizeof(bytes), sizeof(bytes), &rc), CONTROL_HEADER);
	assert_int_equal(rc, 1);
	assert_null(f.payload);
	control_frame_release(&f);
}

static void frame_refuses_before_it_allocates(void **state)
{
	static const uint32_t lengths[] = {CONTROL_MAX_REQUEST + 1,
					   CONTROL_MAX_PAYLOAD,
					   0x7fffffff,
					   0x80000000,
					   0xfffffff4,
					   0xffffffff};
	uint8_t bytes[CONTROL_HEADER];
	struct control_frame f;
	int rc;

	(void)state;
	control_frame_init(&f, CONTROL_MAX_REQUEST);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memcpy(bytes, good_header, sizeof(bytes));
		for (int b = 0; b < 4; b++)
			bytes[8 + b] = (uint8_t)(lengths[i] >> 8 * b);
		feed(&f, bytes, sizeof(bytes), 12, &rc);
		assert_int_equal(rc, -EMSGSIZE);
		assert_null(f.payload);
		control_frame_release(&f);
	}
}

/* --- replies --- */

static void reply_round_trip(void **state)
{
	char text[CONTROL_TEXT_MAX];
	struct control_header h;
	struct wbuf out;
	struct rbuf r;
	int result;

	(void)state;
	wbuf_init(&out, 0);
	control_reply_begin(&out, CONTROL_PAUSE, -EALREADY, "is paused already");
	wbuf_u32(&out, 7);
	assert_int_equal(control_reply_end(&out, CONTROL_PAUSE), 0);
	assert_int_equal(control_header_decode(out.data, CONTROL_MAX_PAYLOAD, &h), 0);
	assert_int_equal(h.type, 0x8003);
	assert_int_equal(h.length, out.len - CONTROL_HEADER);
	rbuf_init(&r, out.data + CONTROL_HEADER, h.length);
	assert_int_equal(control_reply_decode(&r, &result, text), 0);
	assert_int_equal(result, -EALREADY);
	assert_string_equal(text, "is paused already");
	assert_int_equal(rbuf_u32(&r), 7);
	assert_int_equal(rbuf_done(&r), 0);
	/* Cut anywhere before the body. */
	for (size_t len = 0; len < h.length - 4; len++) {
		rbuf_init(&r, out.data + CONTROL_HEADER, len);
		assert_int_equal(control_reply_decode(&r, &result, text), -EBADMSG);
		assert_int_equal(result, 0);
	}
	wbuf_release(&out);
}

static int decode_result(uint32_t raw, const char *string, size_t len)
{
	char text[CONTROL_TEXT_MAX];
	struct wbuf out;
	struct rbuf r;
	int result, rc;

	wbuf_init(&out, 4096);
	wbuf_u32(&out, raw);
	wbuf_u16(&out, (uint16_t)len);
	wbuf_bytes(&out, string, len);
	rbuf_init(&r, out.data, out.len);
	rc = control_reply_decode(&r, &result, text);
	wbuf_release(&out);
	return rc;
}

static void reply_refuses_what_cannot_be(void **state)
{
	char longest[CONTROL_TEXT_MAX];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	assert_int_equal(decode_result(0, "", 0), 0);
	assert_int_equal(decode_result((uint32_t)-4095, "x", 1), 0);
	assert_int_equal(decode_result((uint32_t)-4096, "x", 1), -EBADMSG);
	assert_int_equal(decode_result(1, "x", 1), -EBADMSG);
	assert_int_equal(decode_result(0x80000000, "x", 1), -EBADMSG);
	assert_int_equal(decode_result(0, "a\0b", 3), -EBADMSG);
	assert_int_equal(decode_result(0, longest, sizeof(longest) - 1), 0);
	assert_int_equal(decode_result(0, longest, sizeof(longest)), -EBADMSG);
}

static void reply_too_large_becomes_an_error(void **state)
{
	char text[CONTROL_TEXT_MAX];
	uint8_t page[4096] = {0};
	struct wbuf out;
	struct rbuf r;
	int result;

	(void)state;
	wbuf_init(&out, 0);
	control_reply_begin(&out, CONTROL_REGISTERS, 0, "");
	for (int i = 0; i < 1000; i++)
		wbuf_bytes(&out, page, sizeof(page));
	assert_int_equal(out.error, -E2BIG);
	assert_int_equal(control_reply_end(&out, CONTROL_REGISTERS), 0);
	rbuf_init(&r, out.data + CONTROL_HEADER, out.len - CONTROL_HEADER);
	assert_int_equal(control_reply_decode(&r, &result, text), 0);
	assert_int_equal(result, -E2BIG);
	assert_int_equal(rbuf_done(&r), 0);
	wbuf_release(&out);
}

static const struct control_info some_info = {
	.pid = 0x01020304,
	.state = CONTROL_PAUSED,
	.cpus = 4,
	.memory = 256ull << 20,
	.mte = true,
	.name = "a-1",
};

static void info_is_pinned(void **state)
{
	static const uint8_t want[] = {4,    3, 2, 1, 1, 4, 0, 0, 0,   0,   0,	0,
				       0x10, 0, 0, 0, 0, 1, 3, 0, 'a', '-', '1'};
	struct control_info info;
	struct wbuf out;
	struct rbuf r;

	(void)state;
	wbuf_init(&out, 4096);
	control_info_encode(&out, &some_info);
	assert_int_equal(out.len, sizeof(want));
	assert_memory_equal(out.data, want, sizeof(want));
	rbuf_init(&r, want, sizeof(want));
	assert_int_equal(control_info_decode(&r, &info), 0);
	assert_int_equal(rbuf_done(&r), 0);
	assert_int_equal(info.pid, some_info.pid);
	assert_int_equal(info.state, CONTROL_PAUSED);
	assert_int_equal(info.memory, 256ull << 20);
	assert_true(info.mte);
	assert_string_equal(info.name, "a-1");
	for (size_t len = 0; len < sizeof(want); len++) {
		rbuf_init(&r, want, len);
		assert_int_equal(control_info_decode(&r, &info), -EBADMSG);
	}
	wbuf_release(&out);
}

/* One byte of a good INFO changed to what cannot be. */
static void info_refuses_what_cannot_be(void **state)
{
	static const struct {
		size_t at;
		uint8_t byte;
	} bad[] = {
		{4, CONTROL_STATES}, {4, 255},	{6, 3},	   {8, 1},  {17, 2},
		{20, '/'},	     {20, '.'}, {21, ' '}, {22, 0}, {22, 0x1b},
	};
	struct control_info info;
	struct wbuf out;
	struct rbuf r;

	(void)state;
	wbuf_init(&out, 4096);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		out.len = 0;
		control_info_encode(&out, &some_info);
		out.data[bad[i].at] = bad[i].byte;
		rbuf_init(&r, out.data, out.len);
		assert_int_equal(control_info_decode(&r, &info), -EBADMSG);
	}
	wbuf_release(&out);
}

static void stat_round_trip(void **state)
{
	struct control_stat in = {.info = some_info}, stat;
	struct wbuf out;
	struct rbuf r;

	(void)state;
	in.uptime_ns = 0x1122334455667788;
	in.boots = 3;
	in.backing = MEM_HUGETLB;
	in.guest_resident = 1;
	in.own_pss = 2;
	in.own_anonymous = CONTROL_UNKNOWN;
	in.vcpus = 2;
	wbuf_init(&out, 4096);
	control_stat_encode(&out, &in);
	for (uint64_t i = 0; i < 2 * COUNT_KINDS; i++)
		wbuf_u64(&out, i);
	rbuf_init(&r, out.data, out.len);
	assert_int_equal(control_stat_decode(&r, &stat), 0);
	assert_true(stat.uptime_ns == in.uptime_ns && stat.boots == 3);
	assert_true(stat.guest_resident == 1 && stat.own_pss == 2);
	assert_true(stat.own_anonymous == CONTROL_UNKNOWN);
	for (uint64_t i = 0; i < 2 * COUNT_KINDS; i++)
		assert_int_equal(rbuf_u64(&r), i);
	assert_int_equal(rbuf_done(&r), 0);
	/* The counts must be as many as said: cut, or one more, and it is refused. */
	for (size_t len = 0; len < out.len; len++) {
		rbuf_init(&r, out.data, len);
		assert_int_equal(control_stat_decode(&r, &stat), -EBADMSG);
	}
	wbuf_u64(&out, 0);
	rbuf_init(&r, out.data, out.len);
	assert_int_equal(control_stat_decode(&r, &stat), -EBADMSG);
	wbuf_release(&out);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(header_is_pinned),
	cmocka_unit_test(header_refuses_each_flipped_bit),
	cmocka_unit_test(frame_in_pieces),
	cmocka_unit_test(frame_takes_no_more_than_its_message),
	cmocka_unit_test(frame_refuses_before_it_allocates),
	cmocka_unit_test(reply_round_trip),
	cmocka_unit_test(reply_refuses_what_cannot_be),
	cmocka_unit_test(reply_too_large_becomes_an_error),
	cmocka_unit_test(info_is_pinned),
	cmocka_unit_test(info_refuses_what_cannot_be),
	cmocka_unit_test(stat_round_trip),
};

UNIT_MAIN(tests)
