/* SPDX-License-Identifier: GPL-2.0-only */
/* The UART's state: it travels in the middle of traffic, refuses what it never can be, and survives a storm. */
#include "unit.h"

#include <signal.h>
#include <stdlib.h>

#include "hw/uart_bench.h"

static struct bench a, b;

static int setup(void **state)
{
	(void)state;
	alarm(120); /* what hangs is killed, and so fails */
	bench_open(&a);
	bench_open(&b);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bench_close(&a);
	bench_close(&b);
	return 0;
}

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static struct wbuf save(struct bench *from)
{
	struct wbuf w;

	wbuf_init(&w, 65536);
	state_encode(from->uart->state_desc, from->uart->state, &w);
	assert_int_equal(w.error, 0);
	return w;
}

static int load(struct bench *to, const struct wbuf *w)
{
	struct err err = ERR_INIT;
	struct rbuf r;
	int rc;

	rbuf_init(&r, w->data, w->len);
	rc = state_decode(to->uart->state_desc, to->uart->state, &r, &err);
	if (rc) {
		assert_int_not_equal(err.msg[0], 0);
		return rc;
	}
	device_lock(to->uart);
	to->uart->ops->loaded(to->uart);
	device_unlock(to->uart);
	return 0;
}

static void assert_same_state(struct bench *x, struct bench *y)
{
	struct wbuf wx = save(x), wy = save(y);

	assert_int_equal(wx.len, wy.len);
	assert_memory_equal(wx.data, wy.data, wx.len);
	wbuf_release(&wx);
	wbuf_release(&wy);
}

/* The same for both, and the same must come of it. */
static void step_both(uint32_t *seed)
{
	unsigned int reg = next_random(seed) % 8, value = next_random(seed);

	if (next_random(seed) % 2) {
		assert_int_equal(inb(&a, reg), inb(&b, reg));
	} else {
		outb(&a, reg, value);
		outb(&b, reg, value);
	}
	assert_int_equal(a.line, b.line);
}

/* Everything that can be under way at once. */
static void make_traffic(struct bench *x)
{
	outb(x, LCR, 0x83);
	outb(x, DLL, 0x0c);
	outb(x, DLM, 0x01);
	outb(x, LCR, 0x03);
	outb(x, SCR, 0xa5);
	outb(x, FCR, 0x81);
	outb(x, IER, 0x01);
	outb(x, MCR, 0x0b);
	bench_type(x, "typed ahead", 11);
	for (int i = 0; i < 300; i++)
		outb(x, THR, i);
	assert_int_equal(uart_sysrq(x->uart, 's'), 0);
	assert_int_equal(uart_sysrq(x->uart, 't'), 0);
	assert_int_equal(inb(x, RBR), 't');
	outb(x, MCR, 0x1b); /* loopback, so that lines move and the receiver overruns */
	outb(x, THR, 'o');
	outb(x, THR, 'o');
	outb(x, MCR, 0x0b);
	outb(x, IER, 0x0f);
}

static void travels_in_mid_traffic(void **state)
{
	uint8_t out_a[65536], out_b[65536];
	uint32_t seed = 0x12345678;
	ssize_t n;
	struct wbuf w;

	(void)state;
	make_traffic(&a);
	assert_true(a.line);
	w = save(&a);
	assert_int_equal(load(&b, &w), 0);
	wbuf_release(&w);
	assert_true(b.line); /* the line came along */
	assert_same_state(&a, &b);

	for (int i = 0; i < 3000; i++)
		step_both(&seed);
	assert_same_state(&a, &b);

	/* What was waiting to go out goes out on both sides. */
	outb(&a, LCR, 0);
	outb(&b, LCR, 0);
	outb(&a, MCR, 0);
	outb(&b, MCR, 0);
	run_ms(&a.loop, 20);
	run_ms(&b.loop, 20);
	n = read(a.out[0], out_a, sizeof(out_a));
	assert_true(n >= 300);
	assert_int_equal(read(b.out[0], out_b, sizeof(out_b)), n);
	assert_memory_equal(out_a, out_b, n);
	for (int i = 0; i < 300; i++)
		assert_int_equal(out_b[i], (uint8_t)i);
}

/* Input goes on where it was: what is in the FIFO first, then what the new host has. */
static void input_goes_on(void **state)
{
	static const char all[] = "old host|new host";
	struct wbuf w;

	(void)state;
	outb(&a, FCR, 0x01);
	outb(&a, MCR, 0x0b);
	outb(&a, IER, 0x05);
	bench_type(&a, "old host", 8);
	w = save(&a);
	/* The new one has input waiting before it is loaded; it must not get in front. */
	assert_int_equal(write(b.in[1], "|new host", 9), 9);
	assert_int_equal(load(&b, &w), 0);
	run_until(&b.loop, bench_in_is_empty, &b);
	run_ms(&b.loop, 1);
	for (size_t i = 0; i < sizeof(all) - 1; i++) {
		assert_true(b.line);
		assert_int_equal(inb(&b, RBR), all[i]);
	}
	assert_false(b.line);
	wbuf_release(&w);
}

/* Where a field begins on the wire. */
static size_t wire_offset(const char *name)
{
	const struct state_desc *desc = b.uart->state_desc;
	size_t at = 0;

	for (unsigned int i = 0; i < desc->nfields; i++) {
		if (!strcmp(desc->fields[i].name, name))
			return at;
		at += (size_t)desc->fields[i].width * desc->fields[i].count;
	}
	fail_msg("no field %s", name);
	return 0;
}

static void refuses_hostile_state(void **state)
{
	/* Each bit that makes the value impossible. */
	static const struct {
		const char *name;
		unsigned int byte;
		uint8_t value;
	} bad[] = {
		{"rx_head", 1, 0x01}, /* 256 of 256 */
		{"rx_head", 1, 0x80},
		{"rx_count", 1, 0x02},
		{"rx_count", 1, 0xff},
		{"tx_head", 1, 0x10}, /* 4096 of 4096 */
		{"tx_head", 1, 0xff},
		{"tx_count", 1, 0x11},
		{"tx_count", 1, 0xff},
		{"rx", 1, 0x02}, /* an element that is neither byte nor break */
		{"rx", 511, 0x80},
		{"ier", 0, 0x10},
		{"ier", 0, 0x80},
		{"fcr", 0, 0x10},
		{"fcr", 0, 0x03},
		{"fcr", 0, 0x80}, /* trigger, no FIFO */
		{"mcr", 0, 0x20},
		{"mcr", 0, 0x80},
		{"msr_deltas", 0, 0x10},
		{"lsr_latched", 0, 0x01},
		{"lsr_latched", 0, 0x20},
		{"thre_irq", 0, 2},
		{"polls", 0, 9},
		{"polls", 0, 255},
		{"uses_rts", 0, 2},
	};
	struct wbuf good, before, after;

	(void)state;
	good = save(&a);
	make_traffic(&b);
	before = save(&b);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t at = wire_offset(bad[i].name) + bad[i].byte;
		uint8_t kept = good.data[at];

		good.data[at] = bad[i].value;
		assert_int_equal(load(&b, &good), -EBADMSG);
		good.data[at] = kept;
	}
	/* Short, long, and each cut of it. */
	for (size_t len = 0; len < good.len; len += len < 16 || len > good.len - 16 ? 1 : 61) {
		struct wbuf cut = {.data = good.data, .len = len};

		assert_int_equal(load(&b, &cut), -EBADMSG);
	}
	wbuf_u8(&good, 0);
	assert_int_equal(load(&b, &good), -EBADMSG);
	good.len--;

	after = save(&b);
	assert_memory_equal(after.data, before.data, before.len);
	assert_int_equal(load(&b, &good), 0);
	assert_false(b.line);
	assert_same_state(&a, &b);
	wbuf_release(&good);
	wbuf_release(&before);
	wbuf_release(&after);
}

/* Full buffers and the last index are states, too. */
static void takes_the_extremes(void **state)
{
	struct wbuf w = save(&a);

	(void)state;
	memset(w.data + wire_offset("rx_head"), 0xff, 1);
	memcpy(w.data + wire_offset("rx_count"), "\0\x01", 2);
	memcpy(w.data + wire_offset("tx_head"), "\xff\x0f", 2);
	memcpy(w.data + wire_offset("tx_count"), "\0\x10", 2);
	memset(w.data + wire_offset("tx"), 'x', 4096);
	memset(w.data + wire_offset("ier"), 0x0f, 1);
	assert_int_equal(load(&b, &w), 0);
	wbuf_release(&w);
	assert_int_equal(inb(&b, LSR), 0x01); /* data, and no room to write */
	outb(&b, THR, '!');		      /* lost */
	assert_int_equal(uart_sysrq(b.uart, 'h'), -EAGAIN);
	for (int i = 0; i < 256; i++)
		assert_int_equal(inb(&b, RBR), 0);
	assert_int_equal(inb(&b, LSR), 0x00);
	run_ms(&b.loop, 10);
	assert_int_equal(inb(&b, LSR), 0x60);
	uint8_t out[8192];
	assert_int_equal(read(b.out[0], out, sizeof(out)), 4096);
	assert_int_equal(out[0], 'x');
	assert_int_equal(out[4095], 'x');
}

/* --- the storm --- */

/*
 * Anything a guest can do, in any order, with a host that types and reads meanwhile. After each step what can be told
 * from outside is told; inside, the sanitizers and the state's own check watch.
 */
static void storm(uint32_t seed)
{
	size_t sent = 0, got = 0;
	unsigned int burst = 0;

	for (int i = 0; i < 20000; i++) {
		unsigned int what = next_random(&seed) % 16;
		unsigned int reg = next_random(&seed) % 10, value = next_random(&seed) & 0xff;
		unsigned int len = 1u << next_random(&seed) % 4;
		uint8_t bytes[8];

		if (what < 6) {
			bool was = b.line;

			memset(bytes, 0xee, sizeof(bytes));
			bus_read(&b.bus, UART_BASE + reg, len, bytes);
			for (unsigned int n = 1; n < len; n++)
				assert_int_equal(bytes[n], 0);
			if (reg == IIR)
				assert_int_equal(!(bytes[0] & 0x01), was);
			if (reg == LSR)
				assert_int_equal(!(bytes[0] & 0x20), !(bytes[0] & 0x40));
		} else if (what < 12) {
			/* The data register apart: what goes out is counted. */
			memset(bytes, (int)value, sizeof(bytes));
			if (reg != THR || (inb(&b, LCR) & 0x80))
				bus_write(&b.bus, UART_BASE + reg, len, bytes);
		} else if (what < 14) {
			if (inb(&b, LCR) & 0x80)
				outb(&b, LCR, 0x03);
			for (burst = inb(&b, LSR) & 0x20 ? value % 17 : 0; burst; burst--) {
				if (inb(&b, MCR) & 0x10)
					outb(&b, THR, 0xee);
				else
					outb(&b, THR, sent++ % 251);
			}
		} else if (what == 14) {
			memset(bytes, 'h', sizeof(bytes));
			if (bench_left_in(&b) < 1000)
				assert_true(write(b.in[1], bytes, len) > 0);
			if (!(value & 0x3f))
				(void)uart_sysrq(b.uart, (char)value);
		} else if (!(value & 0x07)) {
			uint8_t out[4096];
			ssize_t n;

			run_ms(&b.loop, 1);
			n = read(b.out[0], out, sizeof(out));
			for (ssize_t k = 0; k < n; k++)
				assert_int_equal(out[k], got++ % 251);
		}
		if (!(i & 15)) {
			struct err err = ERR_INIT;

			if (b.uart->state_desc->check(b.uart->state, &err))
				fail_msg("after %d: %s", i, err.msg);
		}
	}
	/* Quiet again, all that was sent has arrived, and an interrupt without a cause is none. */
	outb(&b, LCR, 0);
	outb(&b, MCR, 0);
	outb(&b, IER, 0);
	assert_false(b.line);
	for (int turns = 0; got < sent && turns < 10000; turns++) {
		uint8_t out[4096];
		ssize_t n;

		run_ms(&b.loop, 1);
		n = read(b.out[0], out, sizeof(out));
		for (ssize_t k = 0; k < n; k++)
			assert_int_equal(out[k], got++ % 251);
	}
	assert_int_equal(got, sent);
	run_ms(&b.loop, 10);
	int n;
	assert_int_equal(ioctl(b.out[0], FIONREAD, &n), 0);
	assert_int_equal(n, 0);
}

static void survives_a_storm(void **state)
{
	(void)state;
	fcntl(b.out[0], F_SETFL, O_NONBLOCK);
	for (uint32_t seed = 1; seed <= 8; seed++)
		storm(seed * 2654435761u);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(travels_in_mid_traffic, setup, teardown),
	cmocka_unit_test_setup_teardown(input_goes_on, setup, teardown),
	cmocka_unit_test_setup_teardown(refuses_hostile_state, setup, teardown),
	cmocka_unit_test_setup_teardown(takes_the_extremes, setup, teardown),
	cmocka_unit_test_setup_teardown(survives_a_storm, setup, teardown),
};

UNIT_MAIN(tests)
