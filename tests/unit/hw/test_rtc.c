/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "hw/rtc.h"
#include "vm/bus.h"

/* DDI 0224C, table 3-1; numbers of its own, so that a wrong one in the device shows. */
enum {
	DR = 0x00,
	MR = 0x04,
	LR = 0x08,
	CR = 0x0c,
	IMSC = 0x10,
	RIS = 0x14,
	MIS = 0x18,
	ICR = 0x1c
};

#define BASE 0x1010000

static struct event_loop loop;
static struct bus bus;
static struct device *rtc;
static uint64_t host_time; /* seconds */
static bool line;
static unsigned int line_changes;
static bool stop_at_change;

static uint64_t fake_now(void)
{
	return host_time;
}

static void set_line(void *ctx, uint32_t number, bool level)
{
	assert_ptr_equal(ctx, &line);
	assert_int_equal(number, 42);
	line = level;
	line_changes++;
	if (stop_at_change)
		event_stop(&loop);
}

static const struct irq_line irq = {.set = set_line, .ctx = &line, .number = 42};

/* The host's clock, where a test sets it; it takes a millisecond to be read. And what a timer was set to. */
static uint64_t fake_ns, armed_ns;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	if (!fake_ns || id != CLOCK_REALTIME)
		return (int)syscall(SYS_clock_gettime, id, ts);
	ts->tv_sec = (time_t)(fake_ns / 1000000000);
	ts->tv_nsec = (long)(fake_ns % 1000000000);
	fake_ns += 1000000;
	return 0;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *before)
{
	armed_ns = (uint64_t)when->it_value.tv_sec * 1000000000 + (uint64_t)when->it_value.tv_nsec;
	return (int)syscall(SYS_timerfd_settime, fd, flags, when, before);
}

static void create(uint64_t (*now)(void))
{
	line = false;
	line_changes = 0;
	stop_at_change = false;
	bus_init(&bus, NULL);
	assert_int_equal(rtc_create("rtc", &loop, &irq, now, &rtc, NULL), 0);
	assert_int_equal(bus_add(&bus, BASE, RTC_MMIO_SIZE, rtc, NULL), 0);
}

static int setup(void **state)
{
	(void)state;
	alarm(120); /* what hangs is killed, and so fails */
	host_time = 1700000000;
	assert_int_equal(event_loop_init(&loop, NULL), 0);
	create(fake_now);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rtc->ops->release(rtc);
	event_loop_release(&loop);
	return 0;
}

static uint32_t get(uint64_t reg)
{
	uint8_t b[4];

	bus_read(&bus, BASE + reg, 4, b);
	return b[0] | b[1] << 8 | b[2] << 16 | (uint32_t)b[3] << 24;
}

static void put(uint64_t reg, uint32_t v)
{
	const uint8_t b[] = {v & 0xff, v >> 8 & 0xff, v >> 16 & 0xff, v >> 24};

	bus_write(&bus, BASE + reg, 4, b);
}

static void resets(void **state)
{
	(void)state;
	assert_int_equal(get(DR), 1700000000);
	assert_int_equal(get(MR), 0);
	assert_int_equal(get(LR), 0);
	assert_int_equal(get(CR), 1);
	assert_int_equal(get(IMSC), 0);
	assert_int_equal(get(RIS), 0);
	assert_int_equal(get(MIS), 0);
	assert_int_equal(get(ICR), 0);
	host_time++;
	assert_int_equal(get(DR), 1700000001);
	assert_int_equal(get(RIS), 0);
	assert_int_equal(line_changes, 0);
	assert_int_equal(state_desc_check(rtc->state_desc, NULL), 0);
}

/* What an AMBA bus driver looks for before it binds. */
static void has_ids(void **state)
{
	uint32_t id = 0, cell = 0;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		id |= get(0xfe0 + 4 * i) << (8 * i);
		cell |= get(0xff0 + 4 * i) << (8 * i);
		put(0xfe0 + 4 * i, 0); /* not writable */
	}
	assert_int_equal(id & 0xfff, 0x031);
	assert_int_equal(id >> 12 & 0xff, 0x41);
	assert_int_equal(cell, 0xb105f00d);
	assert_int_equal(get(0xfe0), 0x31);
	for (uint64_t reg = 0x20; reg < 0xfe0; reg += 4) {
		put(reg, ~0u);
		assert_int_equal(get(reg), 0);
	}
}

static void sets_time(void **state)
{
	(void)state;
	put(LR, 1000);
	assert_int_equal(get(LR), 1000);
	assert_int_equal(get(DR), 1000);
	host_time += 5;
	assert_int_equal(get(DR), 1005);
	assert_int_equal(get(LR), 1000);
	put(DR, 77); /* read-only */
	assert_int_equal(get(DR), 1005);

	/* 32 bits and round. */
	put(LR, 0xfffffffe);
	host_time += 1;
	assert_int_equal(get(DR), 0xffffffff);
	host_time += 1;
	assert_int_equal(get(DR), 0);
	host_time += 10;
	assert_int_equal(get(DR), 10);

	/* A host whose clock needs more than 32 bits. */
	host_time = (5ull << 32) + 7;
	put(LR, 123);
	host_time += 2;
	assert_int_equal(get(DR), 125);
	/* It is stopped by nothing. */
	put(CR, 0);
	assert_int_equal(get(CR), 1);
	host_time += 2;
	assert_int_equal(get(DR), 127);
}

static void alarm_rises_and_is_cleared(void **state)
{
	(void)state;
	put(IMSC, 1);
	assert_int_equal(get(IMSC), 1);
	put(MR, 1700000010);
	assert_int_equal(get(MR), 1700000010);
	host_time += 9;
	assert_int_equal(get(RIS), 0);
	assert_false(line);
	host_time += 1;
	assert_int_equal(get(RIS), 1);
	assert_int_equal(get(MIS), 1);
	assert_true(line);
	assert_int_equal(line_changes, 1);

	put(ICR, 0); /* clears nothing */
	assert_true(line);
	/* Cleared within the second of the match: it does not come again. */
	put(ICR, 1);
	assert_int_equal(get(RIS), 0);
	assert_false(line);
	host_time += 100;
	assert_int_equal(get(RIS), 0);
	assert_int_equal(line_changes, 2);

	/* It stays until it is cleared, whatever the time. */
	put(MR, 1700000200);
	host_time += 1000;
	assert_int_equal(get(MIS), 1);
	host_time += 1000;
	assert_true(line);
	put(LR, 5);
	put(MR, 99);
	assert_int_equal(get(RIS), 1);
	put(ICR, 1);
	assert_false(line);
}

static void alarm_masked(void **state)
{
	(void)state;
	put(MR, 1700000001);
	host_time += 5;
	assert_int_equal(get(RIS), 1);
	assert_int_equal(get(MIS), 0);
	assert_false(line);
	put(IMSC, 0xffffffff);
	assert_int_equal(get(IMSC), 1); /* one bit only */
	assert_int_equal(get(MIS), 1);
	assert_true(line);
	put(IMSC, 0);
	assert_false(line);
	assert_int_equal(get(RIS), 1);

	/* Passed while masked, and nobody looked: unmasking finds it. */
	put(ICR, 1);
	put(MR, 1700000010);
	host_time = 1700000020;
	put(IMSC, 1);
	assert_true(line);
}

static void alarm_edges(void **state)
{
	(void)state;
	put(IMSC, 1);
	/* Now is equal. */
	put(MR, 1700000000);
	assert_true(line);
	put(ICR, 1);
	/* In the past: in the next round of the 32 bits, not before. */
	put(MR, 1699999999);
	assert_false(line);
	host_time += 0xfffffffe;
	assert_int_equal(get(RIS), 0);
	host_time += 1;
	assert_int_equal(get(RIS), 1);
	put(ICR, 1);

	/* Across the wrap. */
	put(LR, 0xfffffff0);
	put(MR, 0x10);
	host_time += 0x1f;
	assert_int_equal(get(DR), 0xf);
	assert_int_equal(get(RIS), 0);
	host_time += 1;
	assert_int_equal(get(RIS), 1);
	put(ICR, 1);

	/* Setting the time to the match is a match; past it is not. */
	put(MR, 5000);
	put(LR, 5001);
	assert_int_equal(get(RIS), 0);
	put(LR, 5000);
	assert_int_equal(get(RIS), 1);
	put(ICR, 1);
	/* Set back, it is ahead again. */
	put(LR, 4990);
	host_time += 10;
	assert_int_equal(get(RIS), 1);
	put(ICR, 1);
	/* It matched between the last look and a new time: that was a match. */
	put(MR, 6000);
	put(LR, 5990);
	host_time += 20;
	put(LR, 1);
	assert_int_equal(get(RIS), 1);
}

static void odd_accesses(void **state)
{
	uint8_t b[8];

	(void)state;
	put(LR, 0x44332211);
	for (unsigned int i = 0; i < 4; i++) {
		bus_read(&bus, BASE + DR + i, 1, b);
		assert_int_equal(b[0], 0x11 * (i + 1));
	}
	bus_read(&bus, BASE + DR + 2, 2, b);
	assert_memory_equal(b, "\x33\x44", 2);
	bus_read(&bus, BASE + DR, 8, b);
	assert_memory_equal(b, "\x11\x22\x33\x44\0\0\0\0", 8);
	/* A part of a register is not written, a pair writes its first. */
	bus_write(&bus, BASE + LR, 1, b);
	bus_write(&bus, BASE + LR, 2, b);
	bus_write(&bus, BASE + LR + 1, 4, b);
	assert_int_equal(get(DR), 0x44332211);
	memcpy(b, "\x01\0\0\0\x99\x99\x99\x99", 8);
	bus_write(&bus, BASE + LR, 8, b);
	assert_int_equal(get(DR), 1);
	bus_read(&bus, BASE + 0xffc, 4, b);
	assert_int_equal(b[0], 0xb1);
	bus_read(&bus, BASE + 0xff8, 8, b);
	assert_int_equal(b[0], 0x05);
}

/* Through the event loop, with nobody looking. */
static void alarm_by_itself(void **state)
{
	(void)state;
	put(IMSC, 1);
	put(MR, 1700000001);
	assert_false(line);
	host_time++;
	stop_at_change = true;
	assert_int_equal(event_run(&loop, NULL), 0);
	assert_true(line);
}

/* On the host's clock, and never before its second has begun. */
static void alarm_in_time(void **state)
{
	struct timespec ts;
	uint32_t at;

	(void)state;
	rtc->ops->release(rtc);
	create(rtc_host_now);
	clock_gettime(CLOCK_REALTIME, &ts);
	assert_in_range(get(DR), (uint32_t)ts.tv_sec, (uint32_t)ts.tv_sec + 60);
	stop_at_change = true;
	put(IMSC, 1);
	do {
		at = get(DR) + 1;
		put(MR, at);
	} while (get(DR) > at); /* a second has passed between the two */
	assert_int_equal(event_run(&loop, NULL), 0);
	assert_true(line);
	clock_gettime(CLOCK_REALTIME, &ts);
	assert_true((uint32_t)ts.tv_sec >= at);
	assert_true(get(DR) >= at);
}

/* However the border of a second falls into the reading of clocks: the alarm may look too early, never too late. */
static void no_second_late(void **state)
{
	const uint64_t start = 1700000000, at = start + 3;

	(void)state;
	rtc->ops->release(rtc);
	create(rtc_host_now);
	put(IMSC, 1);
	for (uint64_t ms = 980; ms < 1010; ms++) {
		fake_ns = (start * 1000 + ms) * 1000000;
		put(MR, (uint32_t)at);
		assert_in_range(fake_ns + armed_ns, (at - 1) * 1000000000,
				at * 1000000000 + 10000000);
	}
	fake_ns = 0;
}

static struct wbuf save(void)
{
	struct wbuf w;

	wbuf_init(&w, 4096);
	state_encode(rtc->state_desc, rtc->state, &w);
	assert_int_equal(w.error, 0);
	return w;
}

static int load(const struct wbuf *w)
{
	struct rbuf r;
	int rc;

	rbuf_init(&r, w->data, w->len);
	rc = state_decode(rtc->state_desc, rtc->state, &r, NULL);
	if (!rc) {
		device_lock(rtc);
		rtc->ops->loaded(rtc);
		device_unlock(rtc);
	}
	return rc;
}

/* Saved with an alarm ahead, loaded in another one when it has passed: it comes at once. */
static void travels(void **state)
{
	struct wbuf w;

	(void)state;
	put(LR, 1000);
	put(MR, 1011);
	put(IMSC, 1);
	w = save();

	rtc->ops->release(rtc);
	host_time += 10;
	create(fake_now);
	assert_int_equal(load(&w), 0);
	assert_int_equal(get(DR), 1010);
	assert_int_equal(get(MR), 1011);
	assert_int_equal(get(LR), 1000);
	assert_int_equal(get(IMSC), 1);
	assert_false(line);

	/* The timer came along. */
	host_time += 1;
	stop_at_change = true;
	assert_int_equal(event_run(&loop, NULL), 0);
	assert_true(line);

	rtc->ops->release(rtc);
	host_time += 149;
	create(fake_now);
	assert_int_equal(load(&w), 0);
	assert_true(line);
	assert_int_equal(get(DR), 1160);
	assert_int_equal(get(RIS), 1);
	wbuf_release(&w);
}

static void refuses_hostile_state(void **state)
{
	struct wbuf w, before;

	(void)state;
	put(MR, 1234);
	w = save();
	before = save();
	/* Wire: offset 8, due 8, match 4, load 4, mask 4, raised 4. */
	assert_int_equal(w.len, 32);
	static const struct {
		size_t at;
		uint8_t bits;
	} bad[] = {{8, 1}, {16, 1}, {24, 2}, {27, 0x80}, {28, 2}, {31, 0x80}};

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		w.data[bad[i].at] ^= bad[i].bits;
		assert_int_equal(load(&w), -EBADMSG);
		w.data[bad[i].at] ^= bad[i].bits;
	}
	wbuf_release(&w);
	w = save();
	assert_memory_equal(w.data, before.data, w.len); /* untouched */

	/* Any time at all is a time: nothing overflows, and the device works. */
	for (unsigned int i = 0; i < 64; i++) {
		memset(w.data, i & 1 ? 0xff : 0, 8);
		memset(w.data + 8, i & 2 ? 0xff : 0, 8);
		memset(w.data + 16, i & 2 ? 0xff : 0, 4);
		memset(w.data + 20, i & 4 ? 0xff : 0, 4);
		memset(w.data + 24, 0, 8);
		w.data[24] = !!(i & 8);
		w.data[28] = !!(i & 16);
		host_time = i & 32 ? UINT64_MAX : 1700000000;
		assert_int_equal(load(&w), 0);
		(void)get(RIS);
		put(LR, 10);
		put(ICR, 1);
		put(MR, 12);
		put(ICR, 1);
		put(IMSC, 1);
		assert_int_equal(get(RIS), 0);
		host_time += 2;
		if (i & 32)
			continue; /* the clock has wrapped: anything but a crash will do */
		assert_int_equal(get(RIS), 1);
		put(ICR, 1);
	}
	wbuf_release(&w);
	wbuf_release(&before);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(resets, setup, teardown),
	cmocka_unit_test_setup_teardown(has_ids, setup, teardown),
	cmocka_unit_test_setup_teardown(sets_time, setup, teardown),
	cmocka_unit_test_setup_teardown(alarm_rises_and_is_cleared, setup, teardown),
	cmocka_unit_test_setup_teardown(alarm_masked, setup, teardown),
	cmocka_unit_test_setup_teardown(alarm_edges, setup, teardown),
	cmocka_unit_test_setup_teardown(odd_accesses, setup, teardown),
	cmocka_unit_test_setup_teardown(alarm_by_itself, setup, teardown),
	cmocka_unit_test_setup_teardown(alarm_in_time, setup, teardown),
	cmocka_unit_test_setup_teardown(no_second_late, setup, teardown),
	cmocka_unit_test_setup_teardown(travels, setup, teardown),
	cmocka_unit_test_setup_teardown(refuses_hostile_state, setup, teardown),
};

UNIT_MAIN(tests)
