/* SPDX-License-Identifier: GPL-2.0-only */
#include "unit.h"

#include <stdlib.h>

#include "hw/uart_bench.h"

static struct bench b;

static int setup(void **state)
{
	(void)state;
	alarm(120); /* what hangs is killed, and so fails */
	bench_open(&b);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bench_close(&b);
	return 0;
}

static void resets(void **state)
{
	(void)state;
	assert_int_equal(inb(&b, IER), 0);
	assert_int_equal(inb(&b, IIR), 0x01);
	assert_int_equal(inb(&b, LCR), 0);
	assert_int_equal(inb(&b, MCR), 0);
	assert_int_equal(inb(&b, LSR), 0x60);
	assert_int_equal(inb(&b, MSR), 0xb0); /* DCD, DSR, CTS, and no deltas */
	assert_int_equal(inb(&b, RBR), 0);
	assert_int_equal(inb(&b, SCR), 0);
	assert_int_equal(b.line_changes, 0);
	assert_int_equal(state_desc_check(b.uart->state_desc, NULL), 0);
}

static void plain_registers(void **state)
{
	(void)state;
	for (unsigned int v = 0; v < 256; v++) {
		outb(&b, SCR, v);
		assert_int_equal(inb(&b, SCR), v);
		outb(&b, LCR, v);
		assert_int_equal(inb(&b, LCR), v);
		outb(&b, LCR, 0);
		outb(&b, IER, v);
		assert_int_equal(inb(&b, IER), v & 0x0f);
		outb(&b, IER, 0);
		outb(&b, MCR, v);
		assert_int_equal(inb(&b, MCR), v & 0x1f);
	}
	outb(&b, MCR, 0);
	/* For reading only. */
	(void)inb(&b, MSR);
	outb(&b, LSR, 0xff);
	assert_int_equal(inb(&b, LSR), 0x60);
	outb(&b, MSR, 0xff);
	assert_int_equal(inb(&b, MSR), 0xb0);
}

static void divisor_latch(void **state)
{
	(void)state;
	outb(&b, IER, 0x05);
	outb(&b, LCR, 0x83);
	/* Not zero from the start: a driver divides by it. */
	assert_int_not_equal(inb(&b, DLL) | inb(&b, DLM), 0);
	outb(&b, DLL, 0x34);
	outb(&b, DLM, 0x12);
	assert_int_equal(inb(&b, DLL), 0x34);
	assert_int_equal(inb(&b, DLM), 0x12);
	outb(&b, LCR, 0x03);
	assert_int_equal(inb(&b, IER), 0x05);
	assert_int_equal(inb(&b, RBR), 0);
	outb(&b, IER, 0x01);
	outb(&b, LCR, 0x83);
	assert_int_equal(inb(&b, DLL), 0x34);
	assert_int_equal(inb(&b, DLM), 0x12);
	/* None of it was sent. */
	chardev_drain(b.c);
	outb(&b, LCR, 0x03);
	outb(&b, THR, '!');
	chardev_drain(b.c);
	char buf[8];
	assert_int_equal(read(b.out[0], buf, sizeof(buf)), 1);
	assert_int_equal(buf[0], '!');
}

static void wide_and_stray_accesses(void **state)
{
	uint8_t v[8] = {0x5a, 1, 2, 3, 4, 5, 6, 7};

	(void)state;
	for (unsigned int len = 1; len <= 8; len *= 2) {
		outb(&b, SCR, 0);
		bus_write(&b.bus, UART_BASE + SCR, len, v);
		assert_int_equal(inb(&b, SCR), 0x5a);
		memset(v + 1, 0xee, 7);
		bus_read(&b.bus, UART_BASE + SCR, len, v);
		assert_int_equal(v[0], 0x5a);
		for (unsigned int i = 1; i < len; i++)
			assert_int_equal(v[i], 0);
	}
	/* It reaches one register only. */
	outb(&b, LCR, 0x03);
	outb(&b, IER, 0);
	memset(v, 0x0f, 8);
	bus_write(&b.bus, UART_BASE + LCR, 4, v);
	assert_int_equal(inb(&b, LCR), 0x0f);
	assert_int_equal(inb(&b, MCR), 0);
	for (unsigned int at = 8; at < UART_MMIO_SIZE; at++) {
		outb(&b, at, 0xff);
		assert_int_equal(inb(&b, at), 0);
	}
	assert_int_equal(inb(&b, SCR), 0x5a);
	assert_int_equal(inb(&b, LSR), 0x60);
}

static void thre_interrupt(void **state)
{
	(void)state;
	/* Enabled while empty: at once. */
	outb(&b, IER, 0x02);
	assert_true(b.line);
	/* Told once: reading IIR takes it back. */
	assert_int_equal(inb(&b, IIR), 0x02);
	assert_false(b.line);
	assert_int_equal(inb(&b, IIR), 0x01);
	/* Enabled anew, again (some drivers test for this). */
	outb(&b, IER, 0x00);
	outb(&b, IER, 0x02);
	assert_true(b.line);
	/* Written with the same value: nothing new. */
	(void)inb(&b, IIR);
	outb(&b, IER, 0x02);
	assert_false(b.line);

	/* A byte is sent at once, and it is empty again. */
	outb(&b, THR, 'a');
	assert_true(b.line);
	assert_int_equal(inb(&b, LSR), 0x60);
	assert_true(b.line); /* LSR does not take it back */
	assert_int_equal(inb(&b, IIR), 0x02);
	assert_false(b.line);
	/* Masked, it waits. */
	outb(&b, IER, 0);
	outb(&b, THR, 'b');
	assert_false(b.line);
	assert_int_equal(inb(&b, IIR), 0x01);
	outb(&b, IER, 0x02);
	assert_true(b.line);
	/* Cost: the line does not move for bytes that change nothing. */
	b.line_changes = 0;
	for (int i = 0; i < 15; i++)
		outb(&b, THR, 'c');
	assert_int_equal(b.line_changes, 0);
}

/* Data, trigger levels and the indication of data below them. */
static void receive_interrupt(void **state)
{
	static const struct {
		unsigned int fcr, level;
	} triggers[] = {{0x01, 1}, {0x41, 4}, {0x81, 8}, {0xc1, 14}};

	(void)state;
	outb(&b, IER, 0x01);
	bench_type(&b, "x", 1);
	assert_true(b.line);
	assert_int_equal(inb(&b, IIR), 0x04); /* without FIFOs */
	assert_int_equal(inb(&b, IIR), 0x04); /* stays until the data are read */
	assert_int_equal(inb(&b, LSR), 0x61);
	assert_int_equal(inb(&b, RBR), 'x');
	assert_false(b.line);
	assert_int_equal(inb(&b, LSR), 0x60);
	assert_int_equal(inb(&b, IIR), 0x01);
	assert_int_equal(inb(&b, RBR), 0);

	for (unsigned int i = 0; i < 4; i++) {
		uint8_t bytes[16];

		for (unsigned int n = 0; n < 16; n++)
			bytes[n] = (uint8_t)('a' + n);
		outb(&b, FCR, triggers[i].fcr);
		bench_type(&b, bytes, 16);
		for (unsigned int n = 16; n; n--) {
			assert_true(b.line);
			assert_int_equal(inb(&b, IIR), n >= triggers[i].level ? 0xc4 : 0xcc);
			assert_int_equal(inb(&b, RBR), bytes[16 - n]);
		}
		assert_false(b.line);
		assert_int_equal(inb(&b, IIR), 0xc1);
	}
	/* Disabled: no interrupt, but the data. */
	outb(&b, IER, 0);
	outb(&b, MCR, 0x02);
	outb(&b, IER, 1);
	bench_type(&b, "yz", 2);
	outb(&b, IER, 0);
	assert_false(b.line);
	assert_int_equal(inb(&b, IIR), 0xc1);
	assert_int_equal(inb(&b, LSR), 0x61);
	assert_int_equal(inb(&b, RBR), 'y');
}

/* The chip has a single byte's room then; the host's next one waits outside. */
static void one_byte_without_fifos(void **state)
{
	(void)state;
	outb(&b, IER, 0x01);
	assert_int_equal(write(b.in[1], "abc", 3), 3);
	for (int i = 0; i < 3; i++) {
		run_ms(&b.loop, 5);
		assert_int_equal(bench_left_in(&b), 2 - i);
		assert_int_equal(inb(&b, LSR), 0x61);
		assert_int_equal(inb(&b, RBR), 'a' + i);
		assert_int_equal(inb(&b, LSR), 0x60);
	}
}

static void fifo_control(void **state)
{
	(void)state;
	outb(&b, IER, 0x01);
	/* The other bits are for nothing without the first. */
	outb(&b, FCR, 0xce);
	assert_int_equal(inb(&b, IIR), 0x01);
	outb(&b, FCR, 0x01);
	assert_int_equal(inb(&b, IIR), 0xc1);

	/* Reset of the receiver. */
	bench_type(&b, "abc", 3);
	assert_true(b.line);
	outb(&b, FCR, 0x03);
	assert_false(b.line);
	assert_int_equal(inb(&b, LSR), 0x60);
	assert_int_equal(inb(&b, RBR), 0);
	/* The bit does not stay. */
	bench_type(&b, "d", 1);
	assert_int_equal(inb(&b, RBR), 'd');

	/* The trigger level changes under the data, which stay. */
	bench_type(&b, "efgh", 4);
	assert_int_equal(inb(&b, IIR), 0xc4);
	outb(&b, FCR, 0xc1);
	assert_int_equal(inb(&b, IIR), 0xcc);
	assert_int_equal(inb(&b, RBR), 'e');
	/* Turned off, all is cleared. */
	outb(&b, FCR, 0x00);
	assert_int_equal(inb(&b, LSR), 0x60);
	assert_int_equal(inb(&b, IIR), 0x01);
	assert_false(b.line);

	/*
	 * One that has come just before they are turned on is kept: Linux does that with the interrupt enabled, and
	 * the host's first byte would go.
	 */
	bench_type(&b, "i", 1);
	assert_true(b.line);
	outb(&b, FCR, 0x81);
	assert_int_equal(inb(&b, RBR), 'i');

	/* What was sent is never lost to a reset: the guest was told it is out. */
	outb(&b, THR, 'o');
	outb(&b, THR, 'k');
	outb(&b, FCR, 0x07);
	outb(&b, FCR, 0x00);
	chardev_drain(b.c);
	char buf[8];
	assert_int_equal(read(b.out[0], buf, sizeof(buf)), 2);
	assert_memory_equal(buf, "ok", 2);
}

static void interrupt_priority(void **state)
{
	(void)state;
	outb(&b, FCR, 0x01);
	outb(&b, IER, 0x01);
	bench_type(&b, "x", 1);
	outb(&b, IER, 0x0f);
	/* A delta for MSR, an overrun for LSR. */
	outb(&b, MCR, 0x10);
	for (int i = 0; i < 16; i++)
		outb(&b, THR, 'l');
	outb(&b, MCR, 0x00);
	assert_true(b.line);

	assert_int_equal(inb(&b, IIR), 0xc6);
	assert_int_equal(inb(&b, IIR), 0xc6); /* only LSR clears it */
	assert_int_equal(inb(&b, LSR), 0x63);
	assert_int_equal(inb(&b, IIR), 0xc4);
	assert_int_equal(inb(&b, LSR), 0x61);
	assert_int_equal(inb(&b, RBR), 'x');
	for (int i = 0; i < 15; i++)
		assert_int_equal(inb(&b, RBR), 'l');
	assert_true(b.line);
	assert_int_equal(inb(&b, IIR), 0xc2);
	assert_int_equal(inb(&b, IIR), 0xc0); /* modem status */
	assert_int_equal(inb(&b, IIR), 0xc0);
	assert_true(b.line);
	assert_int_equal(inb(&b, MSR) & 0x0f, 0x0b);
	assert_false(b.line);
	assert_int_equal(inb(&b, IIR), 0xc1);
	assert_int_equal(b.line_changes, 2);

	/* Each by itself, masked by its own bit. */
	for (unsigned int bit = 0; bit < 4; bit++) {
		static const uint8_t code[] = {0xc4, 0xc2, 0xc6, 0xc0};

		outb(&b, IER, 0);
		outb(&b, FCR, 0x03);
		(void)inb(&b, MSR);
		(void)inb(&b, LSR);
		outb(&b, MCR, 0x10);
		for (int i = 0; i < 17; i++)
			outb(&b, THR, 'l');
		assert_false(b.line);
		assert_int_equal(inb(&b, IIR), 0xc1);
		outb(&b, IER, 1u << bit);
		assert_true(b.line);
		assert_int_equal(inb(&b, IIR), code[bit]);
		outb(&b, MCR, 0x00);
	}
}

static void loopback(void **state)
{
	(void)state;
	outb(&b, FCR, 0x01);
	outb(&b, MCR, 0x10);
	(void)inb(&b, MSR);
	/* Each output on its input: DTR on DSR, RTS on CTS, OUT1 on RI, OUT2 on DCD. */
	for (unsigned int v = 0; v < 16; v++) {
		unsigned int lines = (v & 1 ? 0x20 : 0) | (v & 2 ? 0x10 : 0) | (v & 4 ? 0x40 : 0) |
				     (v & 8 ? 0x80 : 0);

		outb(&b, MCR, 0x10 | v);
		assert_int_equal(inb(&b, MSR) & 0xf0, lines);
		assert_int_equal(inb(&b, MSR), lines); /* deltas are gone */
	}
	/* Deltas: any change of CTS, DSR, DCD; RI only when it falls. */
	outb(&b, MCR, 0x10);
	(void)inb(&b, MSR);
	for (unsigned int i = 0; i < 4; i++) {
		static const uint8_t delta[] = {0x02, 0x01, 0x04, 0x08};

		outb(&b, MCR, 0x10 | 1u << i);
		assert_int_equal(inb(&b, MSR) & 0x0f, i == 2 ? 0 : delta[i]);
		outb(&b, MCR, 0x10);
		assert_int_equal(inb(&b, MSR) & 0x0f, delta[i]);
	}
	/* They add up until MSR is read. */
	outb(&b, MCR, 0x11);
	outb(&b, MCR, 0x13);
	outb(&b, MCR, 0x12);
	assert_int_equal(inb(&b, MSR), 0x13);

	/* Data come back and do not go out; as many as the chip's FIFO holds. */
	for (unsigned int i = 0; i < 256; i++)
		outb(&b, THR, i);
	assert_int_equal(inb(&b, LSR), 0x63); /* overrun */
	assert_int_equal(inb(&b, LSR), 0x61); /* told once */
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(inb(&b, RBR), i);
	assert_int_equal(inb(&b, LSR), 0x60);
	outb(&b, FCR, 0x00); /* and one without FIFOs */
	outb(&b, THR, 'a');
	outb(&b, THR, 'b');
	assert_int_equal(inb(&b, LSR), 0x63);
	assert_int_equal(inb(&b, RBR), 'a');
	assert_int_equal(inb(&b, LSR), 0x60);
	/* Interrupts work. */
	outb(&b, IER, 0x01);
	outb(&b, THR, 'c');
	assert_true(b.line);
	assert_int_equal(inb(&b, RBR), 'c');

	/* The host's input waits outside meanwhile. */
	assert_int_equal(write(b.in[1], "host", 4), 4);
	run_ms(&b.loop, 10);
	assert_int_equal(inb(&b, LSR), 0x60);
	outb(&b, FCR, 0x01);
	outb(&b, MCR, 0x02);
	run_until(&b.loop, bench_has_data, &b);
	assert_int_equal(inb(&b, RBR), 'h');
	chardev_drain(b.c);
	int n;
	assert_int_equal(ioctl(b.out[0], FIONREAD, &n), 0);
	assert_int_equal(n, 0);
}

static void breaks(void **state)
{
	(void)state;
	outb(&b, FCR, 0x01);
	outb(&b, IER, 0x05);
	/* sysrq: a break and a key. */
	assert_int_equal(uart_sysrq(b.uart, 'h'), 0);
	assert_true(b.line);
	assert_int_equal(inb(&b, IIR), 0xc6);
	assert_int_equal(inb(&b, LSR), 0xf1); /* break at the top, an error in the FIFO */
	assert_int_equal(inb(&b, LSR), 0x61); /* told once */
	assert_int_equal(inb(&b, IIR), 0xc4);
	assert_int_equal(inb(&b, RBR), 0); /* a character comes with it */
	assert_int_equal(inb(&b, RBR), 'h');
	assert_false(b.line);

	/* Behind data it is told when it comes to the top, and there is a mark of it before. */
	bench_type(&b, "ab", 2);
	assert_int_equal(uart_sysrq(b.uart, 's'), 0);
	assert_int_equal(inb(&b, LSR), 0xe1);
	assert_int_equal(inb(&b, IIR), 0xc4);
	assert_int_equal(inb(&b, RBR), 'a');
	assert_int_equal(inb(&b, RBR), 'b');
	assert_int_equal(inb(&b, IIR), 0xc6);
	/* Read before it was told of: it still is. */
	assert_int_equal(inb(&b, RBR), 0);
	assert_int_equal(inb(&b, LSR), 0xf1);
	assert_int_equal(inb(&b, RBR), 's');
	assert_int_equal(inb(&b, LSR), 0x60);

	/* Without FIFOs there is no mark. A reset forgets it. */
	outb(&b, FCR, 0x00);
	assert_int_equal(uart_sysrq(b.uart, 'x'), 0);
	assert_int_equal(inb(&b, LSR), 0x71);
	outb(&b, FCR, 0x01);
	outb(&b, FCR, 0x03);
	assert_int_equal(uart_sysrq(b.uart, 'x'), 0);
	outb(&b, FCR, 0x03);
	assert_int_equal(inb(&b, LSR), 0x60);
	assert_false(b.line);

	/* As many as there is room for, and then it says so; nothing is broken by it. */
	for (int i = 0; i < 128; i++)
		assert_int_equal(uart_sysrq(b.uart, 'k'), 0);
	assert_int_equal(uart_sysrq(b.uart, 'k'), -EAGAIN);
	for (int i = 0; i < 128; i++) {
		assert_int_equal(inb(&b, LSR) & 0x11, 0x11);
		assert_int_equal(inb(&b, RBR), 0);
		assert_int_equal(inb(&b, RBR), 'k');
	}
	assert_int_equal(inb(&b, LSR), 0x60);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(resets, setup, teardown),
	cmocka_unit_test_setup_teardown(plain_registers, setup, teardown),
	cmocka_unit_test_setup_teardown(divisor_latch, setup, teardown),
	cmocka_unit_test_setup_teardown(wide_and_stray_accesses, setup, teardown),
	cmocka_unit_test_setup_teardown(thre_interrupt, setup, teardown),
	cmocka_unit_test_setup_teardown(receive_interrupt, setup, teardown),
	cmocka_unit_test_setup_teardown(one_byte_without_fifos, setup, teardown),
	cmocka_unit_test_setup_teardown(fifo_control, setup, teardown),
	cmocka_unit_test_setup_teardown(interrupt_priority, setup, teardown),
	cmocka_unit_test_setup_teardown(loopback, setup, teardown),
	cmocka_unit_test_setup_teardown(breaks, setup, teardown),
};

UNIT_MAIN(tests)
