/* SPDX-License-Identifier: GPL-2.0-only */
/* A UART on a bus with its back end on two pipes, for the tests of it. */
#ifndef LKVM_TESTS_UART_BENCH_H
#define LKVM_TESTS_UART_BENCH_H

#include <sys/ioctl.h>

#include "hw/uart.h"
#include "vm/bus.h"
#include "vm/on_fds.h"

/* PC16550D, table II; numbers of its own, so that a wrong one in the device shows. */
enum {
	RBR = 0,
	THR = 0,
	DLL = 0,
	IER = 1,
	DLM = 1,
	IIR = 2,
	FCR = 2,
	LCR = 3,
	MCR = 4,
	LSR = 5,
	MSR = 6,
	SCR = 7
};

#define UART_BASE 0x1000000

struct bench {
	struct event_loop loop;
	struct log log;
	struct bus bus;
	struct chardev *c;
	struct device *uart;
	int in[2];  /* the test writes to in[1] */
	int out[2]; /* and reads from out[0] */
	bool line;
	unsigned int line_changes;
};

static inline void bench_set_line(void *ctx, uint32_t number, bool level)
{
	struct bench *b = ctx;

	assert_int_equal(number, 33);
	b->line = level;
	b->line_changes++;
}

/* The device alone, anew: on what chardev there is. */
static inline void bench_create_uart(struct bench *b)
{
	struct irq_line irq = {.set = bench_set_line, .ctx = b, .number = 33};

	bus_init(&b->bus, &b->log);
	b->line = false;
	b->line_changes = 0;
	assert_int_equal(uart_create("uart0", b->c, &irq, &b->log, &b->uart, NULL), 0);
	assert_int_equal(bus_add(&b->bus, UART_BASE, UART_MMIO_SIZE, b->uart, NULL), 0);
	assert_false(b->line);
}

static inline void bench_open(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	log_init(&b->log, open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_ERROR);
	assert_int_equal(event_loop_init(&b->loop, NULL), 0);
	assert_int_equal(pipe(b->in), 0);
	assert_int_equal(pipe(b->out), 0);
	b->c = on_fds(&b->loop, &b->log, b->in[0], b->out[1], NULL, NULL);
	bench_create_uart(b);
}

static inline void bench_close(struct bench *b)
{
	b->uart->ops->release(b->uart);
	chardev_close(b->c);
	event_loop_release(&b->loop);
	for (int i = 0; i < 2; i++) {
		close(b->in[i]);
		close(b->out[i]);
	}
	close(b->log.fd);
}

static inline uint8_t inb(struct bench *b, unsigned int reg)
{
	uint8_t v;

	bus_read(&b->bus, UART_BASE + reg, 1, &v);
	return v;
}

static inline void outb(struct bench *b, unsigned int reg, unsigned int value)
{
	uint8_t v = (uint8_t)value;

	bus_write(&b->bus, UART_BASE + reg, 1, &v);
}

static inline bool bench_has_data(void *ctx)
{
	return inb(ctx, LSR) & 0x01;
}

static inline size_t bench_left_in(struct bench *b)
{
	int n;

	assert_int_equal(ioctl(b->in[0], FIONREAD, &n), 0);
	return (size_t)n;
}

static inline bool bench_in_is_empty(void *ctx)
{
	return !bench_left_in(ctx);
}

/* What a host types, all of it in the receiver. Only for less than the ring and a guest that listens. */
static inline void bench_type(struct bench *b, const void *bytes, size_t n)
{
	assert_int_equal(write(b->in[1], bytes, n), n);
	run_until(&b->loop, bench_in_is_empty, b);
	/* Read off the pipe is not yet in the port: the loop is done with it after this. */
	run_ms(&b->loop, 1);
}

#endif
