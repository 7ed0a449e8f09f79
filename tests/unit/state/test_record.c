/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state/checksum.h"
#include "state/record.h"

/* CRC32C one bit at a time, as the standards write it (iSCSI, RFC 3720 B.4). */
static uint32_t crc_bits(uint32_t crc, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int b = 0; b < 8; b++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return crc;
}

/* The words of docs/snapshot-format.md, done slowly. */
static uint64_t checksum_slow(const uint8_t *p, size_t len)
{
	uint32_t crc[2] = {0xffffffff, 0xffffffff};
	uint8_t word[8];

	for (size_t at = 0; at < len; at += 8) {
		memset(word, 0, 8);
		memcpy(word, p + at, len - at < 8 ? len - at : 8);
		crc[at / 8 % 2] = crc_bits(crc[at / 8 % 2], word, 8);
	}
	for (int i = 0; i < 8; i++)
		word[i] = (uint8_t)((uint64_t)len >> (8 * i));
	return crc_bits(crc[0], word, 8) | (uint64_t)crc_bits(crc[1], word, 8) << 32;
}

static void fill(uint8_t *p, size_t len)
{
	uint32_t x = 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = (uint8_t)(x >> 24);
	}
}

static void checksum_by_all_ways(void **state)
{
	uint8_t bytes[1100];

	(void)state;
	fill(bytes, sizeof(bytes));
	/* The one that everybody knows, and our own that must never change. */
	assert_int_equal(~crc_bits(0xffffffff, (const uint8_t *)"123456789", 9), 0xe3069283);
	assert_int_equal(checksum("", 0), 0x73d74d7573d74d75);
	assert_int_equal(checksum("123456789", 9), checksum_slow((const uint8_t *)"123456789", 9));

	for (size_t len = 0; len <= sizeof(bytes); len++) {
		uint64_t want = checksum_slow(bytes, len);
		size_t cut = len / 3 / 16 * 16;
		struct checksum c;

		assert_int_equal(checksum(bytes, len), want);
		/* In pieces, and on a CPU without the instruction. */
		for (int hw = 0; hw < 2; hw++) {
			checksum_init(&c);
			c.hw = c.hw && hw;
			checksum_add(&c, bytes, cut);
			checksum_add(&c, bytes + cut, len - cut);
			assert_int_equal(checksum_end(&c), want);
		}
	}
}

static void checksum_sees_each_bit(void **state)
{
	uint8_t bytes[200];
	uint64_t whole;

	(void)state;
	fill(bytes, sizeof(bytes));
	whole = checksum(bytes, sizeof(bytes));
	for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
		bytes[bit / 8] ^= 1 << bit % 8;
		assert_int_not_equal(checksum(bytes, sizeof(bytes)), whole);
		bytes[bit / 8] ^= 1 << bit % 8;
	}
	/* Zeros at the end are not nothing, nor is the place of a word. */
	memset(bytes, 0, sizeof(bytes));
	assert_int_not_equal(checksum(bytes, 10), checksum(bytes, 11));
	assert_int_not_equal(checksum(bytes, 16), checksum(bytes, 32));
	bytes[0] = 1;
	whole = checksum(bytes, 64);
	bytes[0] = 0;
	bytes[16] = 1;
	assert_int_not_equal(checksum(bytes, 64), whole);
}

static void put(struct wbuf *b, enum record_type type, uint16_t flags, uint32_t instance,
		const char *payload)
{
	size_t start = record_begin(b, type, 3, flags, instance);

	wbuf_bytes(b, payload, strlen(payload));
	record_end(b, start);
}

static void sequence(struct wbuf *b)
{
	wbuf_init(b, 4096);
	put(b, RECORD_CONFIG, RECORD_MUST, 0, "config");
	put(b, RECORD_VCPU, 0, 7, "");
	put(b, 1234, RECORD_MUST, 2, "later");
	put(b, RECORD_END, 0, 0, "");
	assert_int_equal(b->error, 0);
}

/* The bytes are a promise: they are on disk and on the wire. */
static void these_bytes(void **state)
{
	static const uint8_t wire[] = {
		0x07, 0x00, 0x00, 0x00,				/* type: device */
		0x03, 0x00,					/* version */
		0x01, 0x00,					/* flags: must */
		0x04, 0x03, 0x02, 0x01,				/* instance */
		0x03, 0x00, 0x00, 0x00,				/* length */
		0x61, 0x62, 0x63,				/* payload */
		0x67, 0xe9, 0x68, 0x59, 0x99, 0xae, 0x64, 0x47, /* checksum */
	};
	struct wbuf b;

	(void)state;
	wbuf_init(&b, 4096);
	put(&b, RECORD_DEVICE, RECORD_MUST, 0x01020304, "abc");
	assert_int_equal(b.len, sizeof(wire));
	assert_memory_equal(b.data, wire, sizeof(wire));
	wbuf_release(&b);
}

static void round_trip(void **state)
{
	struct err err = ERR_INIT;
	struct record rec;
	struct wbuf b;
	struct rbuf r;

	(void)state;
	sequence(&b);
	rbuf_init(&r, b.data, b.len);

	assert_int_equal(record_next(&r, &rec, &err), 1);
	assert_int_equal(rec.type, RECORD_CONFIG);
	assert_int_equal(rec.version, 3);
	assert_int_equal(rec.flags, RECORD_MUST);
	assert_int_equal(rec.offset, 0);
	assert_int_equal(rbuf_left(&rec.payload), 6);
	assert_memory_equal(rec.payload.data, "config", 6);

	assert_int_equal(record_next(&r, &rec, &err), 1);
	assert_int_equal(rec.type, RECORD_VCPU);
	assert_int_equal(rec.instance, 7);
	assert_int_equal(rbuf_left(&rec.payload), 0);
	assert_int_equal(rec.offset, 30);
	assert_int_equal(record_unknown(&rec, &err), 0);
	assert_string_equal(err.msg, "");

	assert_int_equal(record_next(&r, &rec, &err), 1);
	assert_int_equal(record_unknown(&rec, &err), -EOPNOTSUPP);
	assert_string_equal(err.msg,
			    "unknown record at offset 54 (type 1234, version 3, instance 2) must "
			    "be understood, and this program does not know it");

	assert_int_equal(record_next(&r, &rec, &err), 0);
	assert_int_equal(rbuf_done(&r), 0);
	wbuf_release(&b);
}

static int walk(const uint8_t *bytes, size_t len, struct err *err)
{
	uint8_t *copy = malloc(len ? len : 1); /* the end of it is the sanitizer's */
	struct record rec;
	struct rbuf r;
	int rc;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	rbuf_init(&r, copy, len);
	do {
		size_t before = r.pos;

		rc = record_next(&r, &rec, err);
		assert_int_equal(rec.offset, before);
		if (rc < 0)
			assert_int_equal(r.pos, before);
	} while (rc > 0);
	free(copy);
	return rc;
}

static void truncation_at_every_byte(void **state)
{
	struct err err = ERR_INIT;
	struct wbuf b;

	(void)state;
	sequence(&b);
	for (size_t len = 0; len < b.len; len++) {
		err = (struct err)ERR_INIT;
		assert_int_equal(walk(b.data, len, &err), -EBADMSG);
		assert_non_null(strstr(err.msg, "cut short"));
	}
	assert_int_equal(walk(b.data, b.len, &err), 0);
	wbuf_release(&b);
}

static void each_flipped_bit(void **state)
{
	struct err err = ERR_INIT;
	struct wbuf b;

	(void)state;
	sequence(&b);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		b.data[bit / 8] ^= 1 << bit % 8;
		assert_int_equal(walk(b.data, b.len, &err), -EBADMSG);
		assert_non_null(strstr(err.msg, "record at offset "));
		b.data[bit / 8] ^= 1 << bit % 8;
	}
	wbuf_release(&b);
}

/* What a stranger writes has a right checksum. */
static void refuse(uint32_t type, uint16_t flags, uint32_t length, size_t payload, const char *text)
{
	struct err err = ERR_INIT;
	uint8_t bytes[64] = {0};
	struct wbuf b;

	wbuf_init(&b, 4096);
	wbuf_u32(&b, type);
	wbuf_u16(&b, 1);
	wbuf_u16(&b, flags);
	wbuf_u32(&b, 0);
	wbuf_u32(&b, length);
	wbuf_bytes(&b, bytes, payload);
	wbuf_u64(&b, checksum(b.data, b.len));
	assert_int_equal(walk(b.data, b.len, &err), -EBADMSG);
	assert_string_equal(err.msg, text);
	wbuf_release(&b);
}

static void hostile_headers(void **state)
{
	(void)state;
	refuse(RECORD_VCPU, 0, RECORD_MAX_PAYLOAD + 1, 0,
	       "vcpu record at offset 0: 67108865 bytes of payload, more than the 67108864 that a "
	       "record may have");
	refuse(RECORD_GIC, 0, 0xffffffff, 0,
	       "gic record at offset 0: 4294967295 bytes of payload, more than the 67108864 that a "
	       "record may have");
	refuse(RECORD_ITS, 0, 5, 4,
	       "its record at offset 0: cut short, 5 bytes of payload where 4 are left");
	refuse(RECORD_CLOCK, 2, 0, 0,
	       "clock record at offset 0: flags 0x2, of which this program knows 0x1");
	refuse(RECORD_END, 0, 4, 4, "end record at offset 0: it has 4 bytes of payload");
}

static void writer_errors_stick(void **state)
{
	static const uint8_t zeros[65536];
	struct record rec;
	struct wbuf b;
	struct rbuf r;
	size_t start;

	(void)state;
	wbuf_init(&b, 20);
	put(&b, RECORD_VCPU, 0, 0, "");
	assert_int_equal(b.error, -E2BIG);
	wbuf_release(&b);

	wbuf_init(&b, 2u * RECORD_MAX_PAYLOAD);
	start = record_begin(&b, RECORD_VCPU, 1, 0, 0);
	for (unsigned int i = 0; i < RECORD_MAX_PAYLOAD / sizeof(zeros); i++)
		wbuf_bytes(&b, zeros, sizeof(zeros));
	record_end(&b, start); /* just as much as may be */
	assert_int_equal(b.error, 0);
	rbuf_init(&r, b.data, b.len);
	assert_int_equal(record_next(&r, &rec, NULL), 1);
	assert_int_equal(rbuf_left(&rec.payload), RECORD_MAX_PAYLOAD);
	b.len -= 8;
	wbuf_u8(&b, 0);
	record_end(&b, start);
	assert_int_equal(b.error, -E2BIG);
	wbuf_release(&b);

	/* A reader that has failed before gives no more records. */
	rbuf_init(&r, "x", 1);
	(void)rbuf_u64(&r);
	assert_int_equal(record_next(&r, &rec, NULL), -EBADMSG);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(record_type_name(RECORD_END), "end");
	assert_string_equal(record_type_name(RECORD_COMPAT), "compat");
	assert_string_equal(record_type_name(RECORD_CONTROL), "control");
	assert_string_equal(record_type_name(9999), "unknown");
	assert_string_equal(record_type_name(UINT32_MAX), "unknown");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(checksum_by_all_ways),
	cmocka_unit_test(checksum_sees_each_bit),
	cmocka_unit_test(these_bytes),
	cmocka_unit_test(round_trip),
	cmocka_unit_test(truncation_at_every_byte),
	cmocka_unit_test(each_flipped_bit),
	cmocka_unit_test(hostile_headers),
	cmocka_unit_test(writer_errors_stick),
	cmocka_unit_test(names),
};

UNIT_MAIN(tests)
