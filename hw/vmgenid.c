/* SPDX-License-Identifier: GPL-2.0-only */
#include "hw/vmgenid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct vmgenid_state {
	uint8_t id[VMGENID_SIZE];
};

struct vmgenid {
	struct device dev;
	struct vmgenid_state state;
	struct irq_line irq;
	struct mem *mem;
	uint64_t gpa;
};

static struct vmgenid *to_vmgenid(struct device *dev)
{
	/* dev is the first member. */
	return (struct vmgenid *)dev;
}

/* The bank is there as long as the machine: vmgenid_create() looked. */
static void show(struct vmgenid *v)
{
	void *at = gpa_ptr(v->mem, v->gpa, VMGENID_SIZE, MEM_WRITE);

	if (at)
		memcpy(at, v->state.id, VMGENID_SIZE);
}

static void vmgenid_loaded(struct device *dev)
{
	show(to_vmgenid(dev));
}

static void vmgenid_copied(struct device *dev)
{
	struct vmgenid *v = to_vmgenid(dev);

	/* So few bytes cannot fail once the host is up (getrandom(2)); if they did, the next number is another one too. */
	if (getrandom(v->state.id, VMGENID_SIZE, 0) != VMGENID_SIZE)
		for (unsigned int i = 0; i < VMGENID_SIZE && !++v->state.id[i]; i++)
			;
	show(v);
	v->irq.set(v->irq.ctx, v->irq.number, true);
	v->irq.set(v->irq.ctx, v->irq.number, false);
}

static void vmgenid_release(struct device *dev)
{
	pthread_mutex_destroy(&dev->lock);
	free(to_vmgenid(dev));
}

static const struct state_field vmgenid_fields[] = {
	STATE_ARRAY(struct vmgenid_state, id, VMGENID_SIZE),
};

static const struct state_desc vmgenid_desc = {
	.name = "vmgenid",
	.version = 1,
	.nfields = sizeof(vmgenid_fields) / sizeof(vmgenid_fields[0]),
	.size = sizeof(struct vmgenid_state),
	.fields = vmgenid_fields,
};

static const struct device_ops vmgenid_ops = {
	.loaded = vmgenid_loaded,
	.copied = vmgenid_copied,
	.release = vmgenid_release,
};

int vmgenid_create(const char *name, struct mem *mem, uint64_t gpa, const struct irq_line *irq,
		   struct device **out, struct err *err)
{
	struct vmgenid *v = calloc(1, sizeof(*v));

	if (!v)
		return err_sys(err, -ENOMEM, "%s", name);
	v->dev.name = name;
	v->dev.ops = &vmgenid_ops;
	v->dev.state_desc = &vmgenid_desc;
	v->dev.state = &v->state;
	v->irq = *irq;
	v->mem = mem;
	v->gpa = gpa;
	if (getrandom(v->state.id, VMGENID_SIZE, 0) != VMGENID_SIZE) {
		free(v);
		return err_sys(err, -errno, "%s: no entropy from the host", name);
	}
	if (!gpa_ptr(mem, gpa, VMGENID_SIZE, MEM_WRITE)) {
		free(v);
		return err_set(err, -EFAULT, "%s: no memory at 0x%llx", name,
			       (unsigned long long)gpa);
	}
	pthread_mutex_init(&v->dev.lock, NULL);
	show(v);
	*out = &v->dev;
	return 0;
}
