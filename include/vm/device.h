/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices and the list that the machine keeps of them, in the order of the board table.
 *
 * Locking: each device has one mutex. The bus holds it around read() and write(), an event loop's callback takes it
 * with device_lock(): the device's own code never locks and runs on one thread at a time. A callback may set an
 * interrupt line and notify its back end, but never wait.
 *
 * State: a device says what the guest can change with a state_desc, or that there is nothing (stateless). One that
 * does neither does not register.
 */
#ifndef LKVM_VM_DEVICE_H
#define LKVM_VM_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "state/desc.h"
#include "util/err.h"

struct device;

struct device_ops {
	/* MMIO within the device's window: @offset + @len is inside it, @len is 1, 2, 4 or 8. */
	uint64_t (*read)(struct device *dev, uint64_t offset, unsigned int len);
	void (*write)(struct device *dev, uint64_t offset, unsigned int len, uint64_t value);
	/*
	 * After state was loaded into the struct, lock held: bring lines, timers and back end in step with it. May be
	 * NULL.
	 */
	void (*loaded)(struct device *dev);
	/*
	 * Before loaded(), lock held: the guest was away for so long, and is not to see it. For devices that show a time of
	 * their own; may be NULL.
	 */
	void (*stood_still)(struct device *dev, uint64_t ns);
	/*
	 * After loaded(), lock held: this machine goes on from a file, and others may do so from the same one. May be NULL.
	 */
	void (*copied)(struct device *dev);
	/* Gives everything back, the device itself too. After this no callback may come. */
	void (*release)(struct device *dev);
};

struct device {
	const char *name; /* unique in the machine, e.g. "uart0"; constant for the device's life */
	const struct device_ops *ops;
	const struct state_desc *state_desc; /* NULL only with stateless */
	void *state;			     /* the struct that state_desc describes */
	bool stateless;
	pthread_mutex_t lock;
	struct device *next; /* the machine's list */
};

struct device_list {
	struct device *first;
	struct device **tail;
};

void device_list_init(struct device_list *list);

/* Takes the device over: device_list_release() releases it. -EINVAL without state or twice the same name. */
int device_register(struct device_list *list, struct device *dev, struct err *err);
struct device *device_find(const struct device_list *list, const char *name);
/* In reverse order of registration. */
void device_list_release(struct device_list *list);

static inline void device_lock(struct device *dev)
{
	pthread_mutex_lock(&dev->lock);
}

static inline void device_unlock(struct device *dev)
{
	pthread_mutex_unlock(&dev->lock);
}

#endif
