/* SPDX-License-Identifier: GPL-2.0-only */
/* A serial port without registers: what a test of the character back ends puts in front of them. */
#ifndef LKVM_TESTS_FAKE_PORT_H
#define LKVM_TESTS_FAKE_PORT_H

#include "vm/on_fds.h"

#define FAKE_BIG   (256 * 1024)
#define FAKE_RING  4096
#define FAKE_BREAK 0x7f /* what a break looks like in rx[] */

struct fake_port {
	struct device dev;
	struct chardev *c;
	uint8_t rx[FAKE_BIG]; /* all that has come in */
	size_t rx_n;
	size_t room; /* what it takes in all */
	uint8_t tx[FAKE_RING];
	size_t tx_n;
	size_t tx_total;   /* gone out */
	bool endless_room; /* what comes in is dropped */
	unsigned int calls;
};

static inline size_t fake_rx_room(struct device *dev)
{
	struct fake_port *p = (struct fake_port *)dev;

	assert_int_not_equal(pthread_mutex_trylock(&dev->lock), 0);
	p->calls++;
	return p->room - p->rx_n;
}

static inline void fake_rx(struct device *dev, const uint8_t *bytes, size_t n)
{
	struct fake_port *p = (struct fake_port *)dev;

	assert_int_not_equal(pthread_mutex_trylock(&dev->lock), 0);
	assert_in_range(n, 1, p->room - p->rx_n);
	memcpy(p->rx + p->rx_n, bytes, n);
	p->rx_n += p->endless_room ? 0 : n;
}

static inline void fake_rx_break(struct device *dev)
{
	fake_rx(dev, (const uint8_t[]){FAKE_BREAK}, 1);
}

static inline size_t fake_tx_peek(struct device *dev, uint8_t *bytes, size_t max)
{
	struct fake_port *p = (struct fake_port *)dev;
	size_t n = p->tx_n < max ? p->tx_n : max;

	assert_int_not_equal(pthread_mutex_trylock(&dev->lock), 0);
	p->calls++;
	memcpy(bytes, p->tx, n);
	return n;
}

static inline void fake_tx_done(struct device *dev, size_t n)
{
	struct fake_port *p = (struct fake_port *)dev;

	assert_int_not_equal(pthread_mutex_trylock(&dev->lock), 0);
	if (n > p->tx_n)
		n = p->tx_n;
	p->tx_total += n;
	memmove(p->tx, p->tx + n, p->tx_n - n);
	p->tx_n -= n;
}

static const struct chardev_port fake_port_ops = {
	.rx_room = fake_rx_room,
	.rx = fake_rx,
	.rx_break = fake_rx_break,
	.tx_peek = fake_tx_peek,
	.tx_done = fake_tx_done,
};

static inline void fake_attach(struct fake_port *p, struct chardev *c)
{
	memset(p, 0, sizeof(*p));
	p->dev.name = "port";
	pthread_mutex_init(&p->dev.lock, NULL);
	p->room = sizeof(p->rx);
	p->c = c;
	chardev_attach(c, &p->dev, &fake_port_ops);
}

/* As the guest does it, from whatever thread; says so under the rules of chardev_tx_waiting(). */
static inline void fake_print(struct fake_port *p, const void *bytes, size_t n)
{
	device_lock(&p->dev);
	for (size_t i = 0; i < n; i++) {
		p->tx[p->tx_n++] = ((const uint8_t *)bytes)[i];
		if (p->tx_n == 1 || p->tx_n == FAKE_RING / 2 + 1)
			chardev_tx_waiting(p->c);
	}
	device_unlock(&p->dev);
}

static inline void fake_more_room(struct fake_port *p, size_t n)
{
	device_lock(&p->dev);
	p->room += n;
	chardev_rx_room(p->c);
	device_unlock(&p->dev);
}

static inline bool fake_all_out(void *ctx)
{
	return !((struct fake_port *)ctx)->tx_n;
}

static inline bool fake_is_full(void *ctx)
{
	struct fake_port *p = ctx;

	return p->rx_n == p->room;
}

#endif
