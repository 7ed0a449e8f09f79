/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <string.h>

#include "vm/device.h"

void device_list_init(struct device_list *list)
{
	list->first = NULL;
	list->tail = &list->first;
}

struct device *device_find(const struct device_list *list, const char *name)
{
	for (struct device *dev = list->first; dev; dev = dev->next)
		if (!strcmp(dev->name, name))
			return dev;
	return NULL;
}

int device_register(struct device_list *list, struct device *dev, struct err *err)
{
	if (!dev->name || !dev->name[0] || !dev->ops || !dev->ops->release)
		return err_set(err, -EINVAL, "device %s: no name or no way to release it",
			       dev->name ? dev->name : "?");
	if (dev->stateless ? dev->state_desc || dev->state : !dev->state_desc || !dev->state)
		return err_set(
			err, -EINVAL,
			"device %s: it needs either a state with its description, or the mark "
			"that it has none",
			dev->name);
	if (device_find(list, dev->name))
		return err_set(err, -EINVAL, "device %s: the machine has one of that name already",
			       dev->name);

	dev->next = NULL;
	*list->tail = dev;
	list->tail = &dev->next;
	return 0;
}

void device_list_release(struct device_list *list)
{
	struct device *reversed = NULL, *next;

	for (struct device *dev = list->first; dev; dev = next) {
		next = dev->next;
		dev->next = reversed;
		reversed = dev;
	}
	device_list_init(list);
	for (struct device *dev = reversed; dev; dev = next) {
		next = dev->next;
		dev->ops->release(dev);
	}
}
