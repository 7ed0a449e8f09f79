/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vm/bus.h"

void bus_init(struct bus *bus, struct log *log)
{
	bus->n = 0;
	bus->log = log;
}

static uint64_t last_of(const struct bus_window *w)
{
	return w->base + (w->size - 1);
}

/* The number of windows that begin at or below @addr: the one before that number is the only candidate. */
static unsigned int count_below(const struct bus *bus, uint64_t addr)
{
	unsigned int low = 0, high = bus->n;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (bus->windows[mid].base <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int bus_add(struct bus *bus, uint64_t base, uint64_t size, struct device *dev, struct err *err)
{
	struct bus_window w = {.base = base, .size = size, .dev = dev};
	const struct bus_window *other = NULL;
	unsigned int at;

	if (!dev->ops->read || !dev->ops->write)
		return err_set(err, -EINVAL, "device %s: it has no registers to put on the bus",
			       dev->name);
	if (!size || last_of(&w) < base)
		return err_set(err, -EINVAL,
			       "device %s: a window of 0x%" PRIx64 " bytes at 0x%" PRIx64
			       " is empty or passes the end of the address space",
			       dev->name, size, base);

	at = count_below(bus, base);
	if (at && last_of(&bus->windows[at - 1]) >= base)
		other = &bus->windows[at - 1];
	else if (at < bus->n && bus->windows[at].base <= last_of(&w))
		other = &bus->windows[at];
	if (other)
		return err_set(err, -EINVAL,
			       "device %s: its window 0x%" PRIx64 "-0x%" PRIx64
			       " overlaps that of %s, 0x%" PRIx64 "-0x%" PRIx64,
			       dev->name, base, last_of(&w), other->dev->name, other->base,
			       last_of(other));
	if (bus->n == BUS_MAX_WINDOWS)
		return err_set(err, -ENOSPC, "device %s: the bus has room for %d windows only",
			       dev->name, BUS_MAX_WINDOWS);

	memmove(&bus->windows[at + 1], &bus->windows[at], (bus->n - at) * sizeof(w));
	bus->windows[at] = w;
	bus->n++;
	return 0;
}

/* The window that holds all of the access, or NULL. */
static const struct bus_window *find(const struct bus *bus, uint64_t addr, unsigned int len)
{
	unsigned int n = count_below(bus, addr);
	const struct bus_window *w;

	/* Devices are promised the sizes that a load or store can have. */
	if (!n || !len || len > 8 || (len & (len - 1)))
		return NULL;
	w = &bus->windows[n - 1];
	/* No sum here can wrap: addr - base is at most size once the first test has passed. */
	if (addr - w->base >= w->size || len > w->size - (addr - w->base))
		return NULL;
	return w;
}

static void missed(struct bus *bus, const char *what, uint64_t addr, unsigned int len)
{
	if (bus->log)
		log_guest(bus->log, "guest %s %u bytes at 0x%" PRIx64 ", where no device is", what,
			  len, addr);
}

void bus_read(struct bus *bus, uint64_t addr, unsigned int len, uint8_t *data)
{
	const struct bus_window *w = find(bus, addr, len);
	uint64_t value;

	if (!w) {
		memset(data, 0xff, len);
		missed(bus, "reads", addr, len);
		return;
	}
	device_lock(w->dev);
	value = w->dev->ops->read(w->dev, addr - w->base, len);
	device_unlock(w->dev);
	for (unsigned int i = 0; i < len; i++)
		data[i] = (uint8_t)(value >> (8 * i));
}

void bus_write(struct bus *bus, uint64_t addr, unsigned int len, const uint8_t *data)
{
	const struct bus_window *w = find(bus, addr, len);
	uint64_t value = 0;

	if (!w) {
		missed(bus, "writes", addr, len);
		return;
	}
	for (unsigned int i = 0; i < len; i++)
		value |= (uint64_t)data[i] << (8 * i);
	device_lock(w->dev);
	w->dev->ops->write(w->dev, addr - w->base, len, value);
	device_unlock(w->dev);
}
