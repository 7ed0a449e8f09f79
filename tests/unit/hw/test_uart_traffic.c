/* SPDX-License-Identifier: GPL-2.0-only */
/* The UART under drivers as guests have them, the event loop on a thread of its own as in the VM. */
#include "unit.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "hw/uart_bench.h"

#define OUT_BYTES (200 * 1024)
#define IN_BYTES  (64 * 1024)

static struct bench b;

/* The interrupt, between the loop's thread and the guest's. */
static pthread_mutex_t irq_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t irq_changed = PTHREAD_COND_INITIALIZER;
static bool irq_level;

static struct event_kick end;
static pthread_t loop_thread;

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 251 + i / 65521);
}

static void set_irq(void *ctx, uint32_t number, bool level)
{
	(void)ctx;
	(void)number;
	pthread_mutex_lock(&irq_lock);
	irq_level = level;
	pthread_cond_signal(&irq_changed);
	pthread_mutex_unlock(&irq_lock);
}

/* Waits in WFI, so to say; false after 30 s. */
static bool wait_irq(void)
{
	struct timespec until;
	bool level;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 30;
	pthread_mutex_lock(&irq_lock);
	while (!irq_level && !rc)
		rc = pthread_cond_timedwait(&irq_changed, &irq_lock, &until);
	level = irq_level;
	pthread_mutex_unlock(&irq_lock);
	return level;
}

static void end_kicked(struct event_kick *kick)
{
	event_stop(kick->loop);
}

static void *run_loop(void *arg)
{
	(void)arg;
	event_run(&b.loop, NULL);
	return NULL;
}

static void start_loop(void)
{
	assert_int_equal(pthread_create(&loop_thread, NULL, run_loop, NULL), 0);
}

static void stop_loop(void)
{
	event_kick(&end);
	pthread_join(loop_thread, NULL);
}

static int setup(void **state)
{
	struct irq_line irq = {.set = set_irq, .number = 33};

	(void)state;
	alarm(120); /* what hangs is killed, and so fails */
	signal(SIGPIPE, SIG_IGN);
	bench_open(&b);
	/* With an interrupt that two threads may use. */
	b.uart->ops->release(b.uart);
	bus_init(&b.bus, &b.log);
	irq_level = false;
	assert_int_equal(uart_create("uart0", b.c, &irq, &b.log, &b.uart, NULL), 0);
	assert_int_equal(bus_add(&b.bus, UART_BASE, UART_MMIO_SIZE, b.uart, NULL), 0);
	return event_kick_init(&end, &b.loop, end_kicked, NULL, NULL);
}

static int teardown(void **state)
{
	(void)state;
	event_kick_release(&end);
	bench_close(&b);
	return 0;
}

/* --- the host's two ends --- */

struct reader {
	_Atomic size_t n;
	size_t wrong;
	unsigned int pause_us;
};

static void *read_out(void *arg)
{
	struct reader *r = arg;
	uint8_t buf[1021];

	for (unsigned int turn = 1; r->n < OUT_BYTES; turn++) {
		ssize_t n = read(b.out[0], buf, sizeof(buf));

		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++, r->n++)
			r->wrong += buf[i] != pattern(r->n);
		/* Now and then: each sleep is long where many processes share the machine. */
		if (r->pause_us && !(turn % 16))
			usleep(r->pause_us);
	}
	return NULL;
}

static void *paste(void *arg)
{
	static uint8_t buf[IN_BYTES];

	(void)arg;
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = pattern(i);
	for (size_t at = 0; at < sizeof(buf);) {
		ssize_t n = write(b.in[1], buf + at, sizeof(buf) - at);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	return NULL;
}

/* --- drivers --- */

/* A console without interrupts: as much as it may whenever the transmitter is empty. */
static void poll_out(unsigned int fcr, unsigned int at_once)
{
	struct reader reader = {.pause_us = 200};
	pthread_t thread;
	size_t sent = 0;

	fcntl(b.out[1], F_SETPIPE_SZ, 4096);
	assert_int_equal(pthread_create(&thread, NULL, read_out, &reader), 0);
	start_loop();
	outb(&b, FCR, fcr);
	while (sent < OUT_BYTES) {
		uint8_t lsr = inb(&b, LSR);

		if (!(lsr & 0x20)) {
			assert_false(lsr & 0x40);
			usleep(50);
			continue;
		}
		for (unsigned int i = 0; i < at_once && sent < OUT_BYTES; i++)
			outb(&b, THR, pattern(sent++));
	}
	pthread_join(thread, NULL);
	stop_loop();
	assert_int_equal(reader.n, OUT_BYTES);
	assert_int_equal(reader.wrong, 0);
}

static void polled_output_by_bytes(void **state)
{
	(void)state;
	poll_out(0x00, 1);
}

static void polled_output_by_fifos(void **state)
{
	(void)state;
	poll_out(0x01, UART_TX_FIFO);
}

struct driver {
	size_t sent, got, wrong;
	uint8_t ier;
};

/* One interrupt, the way Linux's 8250 driver handles it. */
static void interrupt(struct driver *d)
{
	uint8_t iir = inb(&b, IIR), lsr;
	unsigned int max = 256;

	if (iir & 0x01)
		return;
	lsr = inb(&b, LSR);
	while ((lsr & 0x11) && max--) {
		d->wrong += inb(&b, RBR) != pattern(d->got);
		d->got++;
		lsr = inb(&b, LSR);
	}
	(void)inb(&b, MSR);
	if ((lsr & 0x20) && (d->ier & 0x02)) {
		for (unsigned int i = 0; i < UART_TX_FIFO && d->sent < OUT_BYTES; i++)
			outb(&b, THR, pattern(d->sent++));
		if (d->sent == OUT_BYTES)
			outb(&b, IER, d->ier &= ~0x02);
	}
}

/* 200 KiB out to a slow reader while 64 KiB are pasted in, both by interrupt. */
static void interrupt_driven_both_ways(void **state)
{
	struct reader reader = {.pause_us = 100};
	struct driver d = {.ier = 0x07};
	pthread_t out, in;

	(void)state;
	fcntl(b.out[1], F_SETPIPE_SZ, 4096);
	outb(&b, FCR, 0x81);
	outb(&b, MCR, 0x0b);
	start_loop();
	assert_int_equal(pthread_create(&out, NULL, read_out, &reader), 0);
	assert_int_equal(pthread_create(&in, NULL, paste, NULL), 0);
	outb(&b, IER, d.ier);
	while (d.sent < OUT_BYTES || d.got < IN_BYTES) {
		assert_true(wait_irq());
		interrupt(&d);
	}
	pthread_join(out, NULL);
	pthread_join(in, NULL);
	stop_loop();
	assert_int_equal(reader.n, OUT_BYTES);
	assert_int_equal(reader.wrong, 0);
	assert_int_equal(d.got, IN_BYTES);
	assert_int_equal(d.wrong, 0);
	assert_false(irq_level);
}

/* A host that takes nothing: THRE goes away in time, comes back with room, and its interrupt with it. */
static void host_does_not_take(void **state)
{
	static uint8_t fill[4096];
	size_t accepted = 0;

	(void)state;
	fcntl(b.out[1], F_SETPIPE_SZ, 4096);
	assert_int_equal(write(b.out[1], fill, 4096), 4096);
	outb(&b, FCR, 0x01);
	/* A number of bytes that the FIFO's size does not divide, or all would come out even. */
	while (accepted < 7)
		outb(&b, THR, pattern(accepted++));
	while (inb(&b, LSR) & 0x20) {
		for (int i = 0; i < UART_TX_FIFO; i++)
			outb(&b, THR, pattern(accepted++));
		assert_in_range(accepted, 1, 4096);
	}
	run_ms(&b.loop, 5);
	assert_int_equal(inb(&b, LSR), 0x00);
	assert_true(accepted >= 4000); /* the ring was used */
	outb(&b, IER, 0x02);
	assert_false(irq_level);

	/* Blind writers lose what does not fit, and nothing else happens. */
	for (int i = 0; i < 100; i++)
		outb(&b, THR, accepted < 4096 ? pattern(accepted++) : '?');
	assert_int_equal(accepted, 4096);
	run_ms(&b.loop, 5);
	assert_false(irq_level);

	assert_int_equal(read(b.out[0], fill, 4096), 4096);
	while (!irq_level)
		run_ms(&b.loop, 1);
	assert_int_equal(inb(&b, LSR), 0x60);
	assert_int_equal(inb(&b, IIR), 0xc2);
	assert_int_equal(read(b.out[0], fill, 4096), 4096);
	for (size_t i = 0; i < 4096; i++)
		assert_int_equal(fill[i], pattern(i));
}

/* kvm-unit-tests and early firmware write without looking at all; the host takes what it gets. */
static void blind_output(void **state)
{
	struct reader reader = {0};
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, read_out, &reader), 0);
	start_loop();
	for (size_t i = 0; i < OUT_BYTES; i++) {
		outb(&b, THR, pattern(i));
		/* In a guest each takes a trap, so the host keeps up; here it is given the time. */
		while (i % 1024 == 1023 && reader.n + 1024 < i)
			usleep(50);
	}
	pthread_join(thread, NULL);
	stop_loop();
	assert_int_equal(reader.n, OUT_BYTES);
	assert_int_equal(reader.wrong, 0);
}

/* --- input that comes before the guest is ready --- */

/* What Linux does between boot and the first open of the port, register by register in its order. */
static void linux_probes(void)
{
	outb(&b, IER, 0);
	outb(&b, MCR, 0x01); /* DTR of a console */
}

static void linux_starts(void)
{
	outb(&b, FCR, 0x01);
	outb(&b, FCR, 0x07);
	outb(&b, FCR, 0x00);
	for (int i = 0; i < 2; i++) {
		(void)inb(&b, LSR);
		(void)inb(&b, RBR);
		(void)inb(&b, IIR);
		(void)inb(&b, MSR);
		outb(&b, LCR, 0x03);
		outb(&b, MCR, 0x09);
		outb(&b, IER, 0x02);
		(void)inb(&b, LSR);
		(void)inb(&b, IIR);
		outb(&b, IER, 0x00);
	}
	/* Line settings: the interrupt is enabled before the FIFOs are. */
	outb(&b, IER, 0x05);
	outb(&b, LCR, 0x83);
	outb(&b, DLL, 0x01);
	outb(&b, DLM, 0x00);
	outb(&b, LCR, 0x03);
	usleep(1000); /* where the host may come in between */
	outb(&b, FCR, 0x01);
	outb(&b, FCR, 0x81);
	outb(&b, MCR, 0x09);
	outb(&b, MCR, 0x0b); /* DTR, RTS, OUT2 */
}

static void linux_stops(void)
{
	outb(&b, MCR, 0x08); /* hang-up: DTR and RTS go */
	outb(&b, IER, 0x00);
	outb(&b, LCR, 0x03);
	outb(&b, FCR, 0x01);
	outb(&b, FCR, 0x07);
	outb(&b, FCR, 0x00);
	(void)inb(&b, RBR);
}

/* A script in stdin is there from the start, and gets there whole. */
static void early_input_waits(void **state)
{
	static const char script[] = "echo this is the first line\npoweroff\n";

	(void)state;
	assert_int_equal(write(b.in[1], script, sizeof(script)), sizeof(script));
	start_loop();
	linux_probes();
	usleep(20000);
	linux_starts();
	for (size_t i = 0; i < sizeof(script);) {
		assert_true(wait_irq());
		assert_false(inb(&b, IIR) & 0x01);
		while (inb(&b, LSR) & 0x01)
			assert_int_equal(inb(&b, RBR), script[i++]);
	}
	/* Closed: what comes now stays outside until the next open. */
	linux_stops();
	assert_int_equal(write(b.in[1], script, sizeof(script)), sizeof(script));
	usleep(20000);
	assert_int_equal(bench_left_in(&b), sizeof(script));
	linux_starts();
	for (size_t i = 0; i < sizeof(script);) {
		assert_true(wait_irq());
		assert_false(inb(&b, IIR) & 0x01);
		while (inb(&b, LSR) & 0x01)
			assert_int_equal(inb(&b, RBR), script[i++]);
	}
	stop_loop();
}

/* Hardware flow control: without RTS nothing more comes, however much there is. */
static void rts_stops_input(void **state)
{
	static uint8_t bytes[600];
	size_t got = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = pattern(i);
	outb(&b, FCR, 0x01);
	outb(&b, MCR, 0x03);
	outb(&b, IER, 0x01);
	assert_int_equal(write(b.in[1], bytes, 600), 600);
	while (got < 300) {
		run_ms(&b.loop, 1);
		while (got < 300 && (inb(&b, LSR) & 0x01))
			assert_int_equal(inb(&b, RBR), pattern(got++));
	}
	outb(&b, MCR, 0x01);
	run_ms(&b.loop, 5);
	while (inb(&b, LSR) & 0x01)
		assert_int_equal(inb(&b, RBR), pattern(got++));
	assert_in_range(got, 300, 600);
	if (got < 600) {
		size_t left = bench_left_in(&b);

		/* Looking after an interrupt now and then is not polling. */
		for (int i = 0; i < 30; i++) {
			(void)inb(&b, IIR);
			(void)inb(&b, LSR);
		}
		run_ms(&b.loop, 10);
		assert_int_equal(bench_left_in(&b), left);
		assert_false(inb(&b, LSR) & 0x01);
	}
	outb(&b, MCR, 0x03);
	while (got < 600) {
		run_ms(&b.loop, 1);
		while (inb(&b, LSR) & 0x01)
			assert_int_equal(inb(&b, RBR), pattern(got++));
	}
}

/* A guest that never drives RTS nor enables an interrupt: it polls, by LSR or by RBR alone. */
static void polled_input(void **state)
{
	(void)state;
	for (unsigned int by_rbr = 0; by_rbr < 2; by_rbr++) {
		static const char text[] = "typed to a poller";
		size_t got = 0;

		/* Another program starts: it sets the chip up. */
		outb(&b, IER, 0x00);
		assert_int_equal(write(b.in[1], text, sizeof(text) - 1), sizeof(text) - 1);
		run_ms(&b.loop, 5);
		/* It prints first, as a monitor does with its prompt; that is not polling. */
		for (int i = 0; i < 100; i++) {
			assert_true(inb(&b, LSR) & 0x20);
			outb(&b, THR, '>');
		}
		run_ms(&b.loop, 5);
		assert_int_equal(bench_left_in(&b), sizeof(text) - 1);
		for (int turns = 0; got < sizeof(text) - 1 && turns < 100000; turns++) {
			uint8_t c = 0;

			if (by_rbr)
				c = inb(&b, RBR);
			else if (inb(&b, LSR) & 0x01)
				c = inb(&b, RBR);
			if (c) {
				assert_int_equal(c, text[got]);
				got++;
				outb(&b, THR, c); /* the echo */
			} else {
				run_ms(&b.loop, 1);
			}
		}
		assert_int_equal(got, sizeof(text) - 1);
	}
}

/* "Press any key to stop": one look for a key after each line of output. */
static void polled_once_a_line(void **state)
{
	int lines = 0;

	(void)state;
	assert_int_equal(write(b.in[1], "k", 1), 1);
	for (;; lines++) {
		assert_true(lines < 1000);
		for (int i = 0; i < 10; i++) {
			assert_true(inb(&b, LSR) & 0x20);
			outb(&b, THR, '.');
		}
		run_ms(&b.loop, 1);
		if (inb(&b, LSR) & 0x01)
			break;
	}
	assert_int_equal(inb(&b, RBR), 'k');
}

/* By interrupt, but without RTS, as small kernels do it; and without FIFOs, one byte after the other. */
static void interrupt_without_rts(void **state)
{
	(void)state;
	for (unsigned int fcr = 0; fcr < 2; fcr++) {
		static const char text[] = "typed";
		size_t got = 0;

		outb(&b, FCR, fcr);
		outb(&b, IER, 0x01);
		assert_int_equal(write(b.in[1], text, sizeof(text) - 1), sizeof(text) - 1);
		start_loop();
		while (got < sizeof(text) - 1) {
			assert_true(wait_irq());
			assert_int_equal(inb(&b, IIR) & 0x0f, 0x04);
			assert_int_equal(inb(&b, RBR), text[got++]);
		}
		stop_loop();
		assert_false(irq_level);
		outb(&b, IER, 0x00);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(polled_output_by_bytes, setup, teardown),
	cmocka_unit_test_setup_teardown(polled_output_by_fifos, setup, teardown),
	cmocka_unit_test_setup_teardown(interrupt_driven_both_ways, setup, teardown),
	cmocka_unit_test_setup_teardown(host_does_not_take, setup, teardown),
	cmocka_unit_test_setup_teardown(blind_output, setup, teardown),
	cmocka_unit_test_setup_teardown(early_input_waits, setup, teardown),
	cmocka_unit_test_setup_teardown(rts_stops_input, setup, teardown),
	cmocka_unit_test_setup_teardown(polled_input, setup, teardown),
	cmocka_unit_test_setup_teardown(polled_once_a_line, setup, teardown),
	cmocka_unit_test_setup_teardown(interrupt_without_rts, setup, teardown),
};

UNIT_MAIN(tests)
