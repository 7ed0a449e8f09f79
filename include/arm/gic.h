/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interrupt controller in the kernel: which one, where, and how a device's line reaches it.
 * Documentation/virt/kvm/devices/arm-vgic.rst, arm-vgic-v3.rst, arm-vgic-its.rst.
 *
 * Order: gic_choose(), vCPUs created and initialised, gic_create(). Descriptors close with gic_release().
 */
#ifndef LKVM_ARM_GIC_H
#define LKVM_ARM_GIC_H

#include <stdint.h>

#include "arm/fdt.h"
#include "util/err.h"
#include "vm/config.h"
#include "vm/irq.h"

struct vm;

#define GIC_SPI_FIRST 32 /* INTID */
#define GIC_INTIDS \
	128 /* implemented: SGIs, PPIs, SPIs; a guest's start traps once or more for each SPI */

struct gic {
	enum fdt_gic kind;
	int fd;				    /* the distributor's device */
	int its_fd;			    /* or -1 */
	struct fdt_range dist, redist, msi; /* as struct fdt_desc has them */
};

/*
 * The kind for this configuration and host: what was asked for, or the best there is. -ENODEV with what the host
 * offers; -EINVAL when it cannot serve that many vCPUs.
 */
int gic_choose(struct vm *vm, enum fdt_gic *kind, struct err *err);

int gic_create(struct vm *vm, enum fdt_gic kind, struct gic *gic, struct err *err);
void gic_release(struct gic *gic);

/* A level-triggered SPI. @intid: GIC_SPI_FIRST and up. */
struct irq_line gic_line(struct vm *vm, uint32_t intid);

enum vm_irqchip gic_irqchip(enum fdt_gic kind);
const char *gic_kind_name(enum fdt_gic kind); /* the word of --irqchip */

#endif
