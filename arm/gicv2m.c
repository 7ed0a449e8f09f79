/* SPDX-License-Identifier: GPL-2.0-only */
#include "arm/gicv2m.h"

#include <errno.h>
#include <stdlib.h>

#define MSI_TYPER     0x008 /* [25:16] first SPI, [9:0] how many */
#define MSI_SETSPI_NS 0x040
#define MSI_IIDR      0xfcc

#define IIDR_VALUE 0x43b /* JEP106 code of Arm, product and revision 0 */

struct gicv2m {
	struct device dev;
	struct irq_line line;
	uint32_t first, count;
};

static uint64_t gicv2m_read(struct device *dev, uint64_t offset, unsigned int len)
{
	const struct gicv2m *frame = (struct gicv2m *)dev;

	if (len != 4)
		return 0;
	if (offset == MSI_TYPER)
		return (uint64_t)frame->first << 16 | frame->count;
	return offset == MSI_IIDR ? IIDR_VALUE : 0;
}

static void gicv2m_write(struct device *dev, uint64_t offset, unsigned int len, uint64_t value)
{
	struct gicv2m *frame = (struct gicv2m *)dev;

	/* 16-bit writes are allowed: PCI writes MSI data as such. */
	if (offset != MSI_SETSPI_NS || len > 4)
		return;
	if (value < frame->first || value - frame->first >= frame->count)
		return;
	/* MSIs are edges; the guest configures these SPIs so. */
	frame->line.set(frame->line.ctx, value, true);
	frame->line.set(frame->line.ctx, value, false);
}

static void gicv2m_release(struct device *dev)
{
	pthread_mutex_destroy(&dev->lock);
	free(dev);
}

static const struct device_ops gicv2m_ops = {
	.read = gicv2m_read,
	.write = gicv2m_write,
	.release = gicv2m_release,
};

int gicv2m_create(const char *name, const struct irq_line *line, uint32_t first, uint32_t count,
		  struct device **out, struct err *err)
{
	struct gicv2m *frame = calloc(1, sizeof(*frame));

	if (!frame)
		return err_set(err, -ENOMEM, "%s: no memory", name);
	frame->dev.name = name;
	frame->dev.ops = &gicv2m_ops;
	frame->dev.stateless = true;
	pthread_mutex_init(&frame->dev.lock, NULL);
	frame->line = *line;
	frame->first = first;
	frame->count = count;
	*out = &frame->dev;
	return 0;
}
