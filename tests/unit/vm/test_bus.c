/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vm/bus.h"

/* Remembers the last access. */
struct probe {
	struct device dev;
	unsigned int reads, writes;
	uint64_t offset, value;
	unsigned int len;
	bool was_locked;
};

static bool is_locked(struct device *dev)
{
	if (pthread_mutex_trylock(&dev->lock))
		return true;
	pthread_mutex_unlock(&dev->lock);
	return false;
}

static uint64_t probe_read(struct device *dev, uint64_t offset, unsigned int len)
{
	struct probe *p = (struct probe *)dev;

	p->reads++;
	p->offset = offset;
	p->len = len;
	p->was_locked = is_locked(dev);
	return p->value;
}

static void probe_write(struct device *dev, uint64_t offset, unsigned int len, uint64_t value)
{
	struct probe *p = (struct probe *)dev;

	p->writes++;
	p->offset = offset;
	p->len = len;
	p->value = value;
	p->was_locked = is_locked(dev);
}

static const struct device_ops ops = {.read = probe_read, .write = probe_write};

static struct probe probe_init(const char *name)
{
	return (struct probe){
		.dev = {.name = name, .ops = &ops, .lock = PTHREAD_MUTEX_INITIALIZER}};
}

#define U64 UINT64_MAX

static void accesses_reach_their_window(void **state)
{
	struct probe low = probe_init("low"), mid = probe_init("mid"), high = probe_init("high");
	uint8_t data[9];
	struct bus bus;

	(void)state;
	bus_init(&bus, NULL);
	/* Not in order; low and mid touch; high ends with the address space. */
	assert_int_equal(bus_add(&bus, U64 - 0xfff, 0x1000, &high.dev, NULL), 0);
	assert_int_equal(bus_add(&bus, 0x2000, 0x10, &mid.dev, NULL), 0);
	assert_int_equal(bus_add(&bus, 0x1000, 0x1000, &low.dev, NULL), 0);

	low.value = 0x8877665544332211;
	for (unsigned int len = 1; len <= 8; len *= 2) {
		memset(data, 0xee, sizeof(data));
		bus_read(&bus, 0x1008, len, data);
		assert_int_equal(low.offset, 8);
		assert_int_equal(low.len, len);
		assert_true(low.was_locked);
		assert_memory_equal(data, "\x11\x22\x33\x44\x55\x66\x77\x88", len);
		assert_int_equal(data[len], 0xee); /* not a byte too many */
	}
	assert_int_equal(low.reads, 4);
	assert_false(is_locked(&low.dev));

	bus_write(&bus, 0x200c, 4, (const uint8_t *)"\x01\x02\x03\x84zzzz");
	assert_int_equal(mid.writes, 1);
	assert_int_equal(mid.offset, 0xc);
	assert_int_equal(mid.len, 4);
	assert_int_equal(mid.value, 0x84030201);
	assert_true(mid.was_locked);
	assert_false(is_locked(&mid.dev));

	/* First and last byte of each. */
	bus_write(&bus, 0x1000, 1, data);
	assert_int_equal(low.offset, 0);
	bus_write(&bus, 0x1fff, 1, data);
	assert_int_equal(low.offset, 0xfff);
	bus_write(&bus, 0x2000, 1, data);
	assert_int_equal(mid.offset, 0);
	bus_write(&bus, U64 - 0xfff, 8, data);
	assert_int_equal(high.offset, 0);
	bus_write(&bus, U64 - 7, 8, data);
	assert_int_equal(high.offset, 0xff8);
	bus_write(&bus, U64, 1, data);
	assert_int_equal(high.offset, 0xfff);
	assert_int_equal(low.writes, 2);
	assert_int_equal(mid.writes, 2);
	assert_int_equal(high.writes, 3);
}

static void misses(void **state)
{
	static const struct {
		uint64_t addr;
		unsigned int len;
	} holes[] = {
		{0, 1},		 {0, 8},      {0xfff, 1},
		{0x1010, 1},	 {0x1fff, 1}, {0xfff, 2}, /* begins before a window */
		{0x100f, 2},				  /* ends behind it */
		{0x100c, 8},				  /* both */
		{0x201c, 8},				  /* from one window into the next */
		{U64 - 0x10, 1}, {U64, 2},		  /* wraps */
		{U64 - 6, 8},				  /* the same, beginning inside a window */
		{0x1000, 3},				  /* of no size that an instruction has */
		{0x1000, 7},	 {0x1000, 5}, {0x1000, 6},
	};
	struct probe a = probe_init("a"), b = probe_init("b"), c = probe_init("c"),
		     d = probe_init("d");
	struct bus bus;

	(void)state;
	bus_init(&bus, NULL);
	assert_int_equal(bus_add(&bus, 0x1000, 0x10, &a.dev, NULL), 0);
	assert_int_equal(bus_add(&bus, 0x2000, 0x20, &b.dev, NULL), 0);
	assert_int_equal(bus_add(&bus, 0x2020, 0x20, &c.dev, NULL), 0);
	assert_int_equal(bus_add(&bus, U64 - 0xf, 0x10, &d.dev, NULL), 0);

	for (unsigned int i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
		uint8_t data[9];

		memset(data, 0x55, sizeof(data));
		bus_read(&bus, holes[i].addr, holes[i].len, data);
		for (unsigned int n = 0; n < sizeof(data); n++)
			assert_int_equal(data[n], n < holes[i].len ? 0xff : 0x55);
		bus_write(&bus, holes[i].addr, holes[i].len, data);
	}
	assert_int_equal(a.reads + b.reads + c.reads + d.reads, 0);
	assert_int_equal(a.writes + b.writes + c.writes + d.writes, 0);

	/* And on a bus without any window. */
	bus_init(&bus, NULL);
	bus_write(&bus, 0x1000, 1, (const uint8_t *)"");
}

static void refuses_windows(void **state)
{
	static const struct {
		uint64_t base, size;
	} bad[] = {
		{0x1000, 0x1000}, /* the same again */
		{0x1fff, 1},	  {0x1000, 1},	   {0x0fff, 2},	       {0, U64},
		{0x1800, 0x10},	  {0x800, 0x4000}, {0x1fff, 0x100000}, {0x5000, 0}, /* empty */
		{U64, 2}, /* passes the end of the address space */
		{0x5000, U64},	  {1, U64},
	};
	struct probe a = probe_init("first"), b = probe_init("second");
	struct device bare = {.name = "bare", .ops = &(const struct device_ops){0}};
	struct err err;
	struct bus bus;

	(void)state;
	bus_init(&bus, NULL);
	assert_int_equal(bus_add(&bus, 0x1000, 0x1000, &a.dev, NULL), 0);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err.msg[0] = 0;
		assert_int_equal(bus_add(&bus, bad[i].base, bad[i].size, &b.dev, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "second"));
		assert_int_equal(bus.n, 1);
	}
	assert_int_equal(bus_add(&bus, 0x1fff, 2, &b.dev, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "first")); /* who is in the way */
	assert_int_equal(bus_add(&bus, 0x8000, 0x1000, &bare, &err), -EINVAL);

	/* One that ends at the last address does not pass it. */
	assert_int_equal(bus_add(&bus, 0x2000, U64 - 0x2000 + 1, &b.dev, NULL), 0);
	assert_int_equal(bus_add(&bus, 0, 0x1000, &b.dev, NULL), 0);
}

static void fills_up(void **state)
{
	struct probe probes[BUS_MAX_WINDOWS];
	struct probe more = probe_init("more");
	struct bus bus;

	(void)state;
	bus_init(&bus, NULL);
	/* In an order that puts each new one in the middle. */
	for (unsigned int i = 0; i < BUS_MAX_WINDOWS; i++) {
		uint64_t at = i % 2 ? i : 2 * BUS_MAX_WINDOWS - i;

		probes[i] = probe_init("p");
		assert_int_equal(bus_add(&bus, at * 0x100, 0x80, &probes[i].dev, NULL), 0);
	}
	assert_int_equal(bus_add(&bus, 0x1000000, 0x80, &more.dev, NULL), -ENOSPC);
	for (unsigned int i = 0; i < BUS_MAX_WINDOWS; i++) {
		uint64_t at = i % 2 ? i : 2 * BUS_MAX_WINDOWS - i;

		bus_write(&bus, at * 0x100 + 0x7c, 4, (const uint8_t *)"\x01\0\0\0");
		bus_write(&bus, at * 0x100 + 0x80, 4, (const uint8_t *)"\x02\0\0\0");
		assert_int_equal(probes[i].writes, 1);
		assert_int_equal(probes[i].value, 1);
		assert_int_equal(probes[i].offset, 0x7c);
	}
}

static void misses_are_logged_and_limited(void **state)
{
	char text[65536], path[] = "/tmp/test_bus.XXXXXX";
	int fd = mkstemp(path), lines = 0;
	uint8_t data[8];
	struct log log;
	struct bus bus;
	ssize_t n;

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	log_init(&log, fd, LOG_WARNING);
	bus_init(&bus, &log);
	for (int i = 0; i < 5000; i++)
		bus_read(&bus, 0x123450, 4, data);
	n = pread(fd, text, sizeof(text) - 1, 0);
	close(fd);
	assert_in_range(n, 1, sizeof(text) - 2);
	text[n] = 0;
	assert_non_null(strstr(text, "0x123450"));
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	/* Ten a second; the loop does not take a minute. */
	assert_in_range(lines, 1, 600);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(accesses_reach_their_window),
	cmocka_unit_test(misses),
	cmocka_unit_test(refuses_windows),
	cmocka_unit_test(fills_up),
	cmocka_unit_test(misses_are_logged_and_limited),
};

UNIT_MAIN(tests)
