/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state/desc.h"

struct thing {
	uint64_t base;
	uint32_t lines[3];
	uint16_t head;
	uint8_t mode;
	uint8_t fifo[5];
	uint32_t nlines;
};

static const struct state_field fields[] = {
	STATE_FIELD(struct thing, base),    STATE_ARRAY(struct thing, lines, 3),
	STATE_FIELD(struct thing, head),    STATE_FIELD(struct thing, mode),
	STATE_ARRAY(struct thing, fifo, 5), STATE_INVARIANT(struct thing, nlines),
};

static int check(const void *state, struct err *err)
{
	const struct thing *t = state;

	if (t->mode > 3)
		return err_set(err, -ERANGE, "mode %u does not exist", t->mode);
	return 0;
}

#define NFIELDS(a) (sizeof(a) / sizeof((a)[0]))

static const struct state_desc desc = {
	.name = "thing",
	.version = 1,
	.nfields = NFIELDS(fields),
	.size = sizeof(struct thing),
	.fields = fields,
	.check = check,
};

static const struct thing sample = {
	.base = 0x0102030405060708,
	.lines = {0x11121314, 0x21222324, 0x31323334},
	.head = 0x4142,
	.mode = 3,
	.fifo = {1, 2, 3, 4, 5},
	.nlines = 3,
};

/* The bytes are a promise: they are on disk and on the wire. */
static const uint8_t wire[] = {
	0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,				/* base */
	0x14, 0x13, 0x12, 0x11, 0x24, 0x23, 0x22, 0x21, 0x34, 0x33, 0x32, 0x31, /* lines */
	0x42, 0x41,								/* head */
	0x03,									/* mode */
	0x01, 0x02, 0x03, 0x04, 0x05,						/* fifo */
	0x03, 0x00, 0x00, 0x00,							/* nlines */
};

/* What the machine has before the load: all differs but the invariant. */
static const struct thing before = {
	.base = 1, .lines = {2, 3, 4}, .head = 5, .mode = 1, .fifo = {9, 9, 9, 9, 9}, .nlines = 3};

static int decode(struct thing *t, const void *bytes, size_t len, struct err *err)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct rbuf in;
	int rc;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	rbuf_init(&in, copy, len);
	rc = state_decode(&desc, t, &in, err);
	free(copy);
	return rc;
}

static void covers_itself(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(state_desc_check(&desc, &err), 0);
	assert_string_equal(err.msg, "");
}

static void encodes_these_bytes(void **state)
{
	struct wbuf out;

	(void)state;
	wbuf_init(&out, 1000);
	state_encode(&desc, &sample, &out);
	assert_int_equal(out.error, 0);
	assert_int_equal(out.len, sizeof(wire));
	assert_memory_equal(out.data, wire, sizeof(wire));
	wbuf_release(&out);
}

static void round_trip(void **state)
{
	struct thing t = before;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(decode(&t, wire, sizeof(wire), &err), 0);
	assert_memory_equal(&t, &sample, sizeof(t));
	assert_string_equal(err.msg, "");
}

/* Random states, every byte of them. */
static void random_round_trips(void **state)
{
	uint64_t seed = 0x9e3779b97f4a7c15;

	(void)state;
	for (int i = 0; i < 500; i++) {
		struct thing from, to = before;
		uint8_t *bytes = (uint8_t *)&from;
		struct wbuf out;

		for (size_t n = 0; n < sizeof(from); n++) {
			seed = seed * 6364136223846793005 + 1442695040888963407;
			bytes[n] = (uint8_t)(seed >> 56);
		}
		from.mode &= 3;
		from.nlines = before.nlines;
		wbuf_init(&out, 1000);
		state_encode(&desc, &from, &out);
		assert_int_equal(decode(&to, out.data, out.len, NULL), 0);
		assert_memory_equal(&to, &from, sizeof(to));
		wbuf_release(&out);
	}
}

static void truncation_at_every_byte(void **state)
{
	static const struct {
		size_t end;
		const char *field;
	} ends[] = {{8, "base"},  {20, "lines"}, {22, "head"},
		    {23, "mode"}, {28, "fifo"},	 {32, "nlines"}};
	unsigned int n = 0;

	(void)state;
	for (size_t cut = 0; cut < sizeof(wire); cut++) {
		struct thing t = before;
		struct err err = ERR_INIT;

		while (cut >= ends[n].end)
			n++;
		assert_int_equal(decode(&t, wire, cut, &err), -EBADMSG);
		assert_memory_equal(&t, &before, sizeof(t));
		assert_non_null(strstr(err.msg, "thing"));
		assert_non_null(strstr(err.msg, ends[n].field));
	}
}

static void trailing_bytes(void **state)
{
	uint8_t longer[sizeof(wire) + 1] = {0};
	struct thing t = before;
	struct err err = ERR_INIT;

	(void)state;
	memcpy(longer, wire, sizeof(wire));
	assert_int_equal(decode(&t, longer, sizeof(longer), &err), -EBADMSG);
	assert_memory_equal(&t, &before, sizeof(t));
	assert_string_equal(err.msg, "thing: bytes are left over after the last field");
}

static void invariants_are_compared(void **state)
{
	(void)state;
	/* Each byte of it alone. */
	for (size_t at = 28; at < 32; at++) {
		struct thing t = before;
		struct err err = ERR_INIT;
		uint8_t changed[sizeof(wire)];

		memcpy(changed, wire, sizeof(wire));
		changed[at] ^= 0x80;
		assert_int_equal(decode(&t, changed, sizeof(changed), &err), -EBADMSG);
		assert_memory_equal(&t, &before, sizeof(t));
		assert_non_null(strstr(err.msg, "field nlines is 0x"));
		assert_non_null(strstr(err.msg, "but 0x3 in this machine"));
	}
}

static void check_may_refuse(void **state)
{
	struct thing t = before;
	struct err err = ERR_INIT;
	uint8_t changed[sizeof(wire)];

	(void)state;
	memcpy(changed, wire, sizeof(wire));
	changed[22] = 4;
	assert_int_equal(decode(&t, changed, sizeof(changed), &err), -EBADMSG);
	assert_memory_equal(&t, &before, sizeof(t));
	assert_string_equal(err.msg, "thing: mode 4 does not exist");
	assert_int_equal(decode(&t, changed, sizeof(changed), NULL), -EBADMSG);
}

/* Last byte first: a store wider than its field would spoil what was stored before it. */
static void no_store_is_too_wide(void **state)
{
	struct mix {
		uint8_t a, b;
		uint16_t c;
		uint32_t d;
		uint64_t e;
	};
	static const struct state_field backwards[] = {
		STATE_FIELD(struct mix, e), STATE_FIELD(struct mix, d), STATE_FIELD(struct mix, c),
		STATE_FIELD(struct mix, b), STATE_FIELD(struct mix, a)};
	static const struct state_desc d = {.name = "mix",
					    .nfields = NFIELDS(backwards),
					    .size = sizeof(struct mix),
					    .fields = backwards};
	static const struct mix from = {
		.a = 0xa1, .b = 0xb1, .c = 0xc1c2, .d = 0xd1d2d3d4, .e = 0xe1e2e3e4e5e6e7e8};
	struct mix to = {0};
	struct wbuf out;
	struct rbuf in;

	(void)state;
	assert_int_equal(state_desc_check(&d, NULL), 0);
	wbuf_init(&out, 100);
	state_encode(&d, &from, &out);
	rbuf_init(&in, out.data, out.len);
	assert_int_equal(state_decode(&d, &to, &in, NULL), 0);
	assert_memory_equal(&to, &from, sizeof(to));
	wbuf_release(&out);
}

static void full_buffer_is_the_writers_error(void **state)
{
	struct wbuf out;

	(void)state;
	wbuf_init(&out, sizeof(wire) - 1);
	state_encode(&desc, &sample, &out);
	assert_int_equal(out.error, -E2BIG);
	wbuf_release(&out);
}

/* Tables that are wrong, each in one way. */
struct small {
	uint32_t a;
	uint16_t b;
	uint16_t c;
};

#define F(member) STATE_FIELD(struct small, member)

static void refuse(const struct state_field *f, uint16_t n, const char *why)
{
	struct state_desc d = {
		.name = "small", .nfields = n, .size = sizeof(struct small), .fields = f};
	struct err err = ERR_INIT;

	assert_int_equal(state_desc_check(&d, &err), -EINVAL);
	assert_string_equal(err.msg, why);
	assert_int_equal(state_desc_check(&d, NULL), -EINVAL);
}

static void coverage(void **state)
{
	static const struct state_field whole[] = {F(c), F(a), F(b)}; /* any order */
	static const struct state_field gap[] = {F(a), F(c)};
	static const struct state_field tail[] = {F(a), F(b)};
	static const struct state_field twice[] = {F(a), F(b), F(c), F(b)};
	static const struct state_field overlap[] = {
		F(a), {.name = "b", .offset = 3, .width = 1, .count = 3}, F(c)};
	static const struct state_field past[] = {
		F(a), F(b), {.name = "c", .offset = 6, .width = 4, .count = 1}};
	static const struct state_field far[] = {
		{.name = "a", .offset = 0xffffffff, .width = 8, .count = 0xffff}};
	static const struct state_field width[] = {
		{.name = "a", .offset = 0, .width = 3, .count = 1}};
	static const struct state_field count[] = {
		{.name = "a", .offset = 0, .width = 4, .count = 0}};
	static const struct state_field kind[] = {
		{.name = "a", .offset = 0, .width = 4, .count = 1, .kind = 2}};
	static const struct state_field name[] = {{.offset = 0, .width = 4, .count = 1}};
	struct state_desc d = {
		.name = "small", .nfields = 3, .size = sizeof(struct small), .fields = whole};

	(void)state;
	assert_int_equal(state_desc_check(&d, NULL), 0);
	refuse(gap, NFIELDS(gap), "small: byte 4 is in no field");
	refuse(tail, NFIELDS(tail), "small: byte 6 is in no field");
	refuse(twice, NFIELDS(twice), "small: byte 4 is covered twice, by b too");
	refuse(overlap, NFIELDS(overlap), "small: byte 3 is covered twice, by b too");
	refuse(past, NFIELDS(past), "small: field c reaches past the end, byte 8");
	refuse(far, NFIELDS(far), "small: field a reaches past the end, byte 8");
	refuse(width, NFIELDS(width), "small: field 0 (a) has no name, width, count or kind");
	refuse(count, NFIELDS(count), "small: field 0 (a) has no name, width, count or kind");
	refuse(kind, NFIELDS(kind), "small: field 0 (a) has no name, width, count or kind");
	refuse(name, NFIELDS(name), "small: field 0 (?) has no name, width, count or kind");
	refuse(NULL, 0, "small: byte 0 is in no field");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(covers_itself),
	cmocka_unit_test(encodes_these_bytes),
	cmocka_unit_test(round_trip),
	cmocka_unit_test(random_round_trips),
	cmocka_unit_test(truncation_at_every_byte),
	cmocka_unit_test(trailing_bytes),
	cmocka_unit_test(invariants_are_compared),
	cmocka_unit_test(check_may_refuse),
	cmocka_unit_test(no_store_is_too_wide),
	cmocka_unit_test(full_buffer_is_the_writers_error),
	cmocka_unit_test(coverage),
};

UNIT_MAIN(tests)
