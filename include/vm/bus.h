/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The MMIO bus: windows of guest physical addresses, each one device's. Filled while the machine is built, then
 * constant, so that vCPUs look windows up without a lock. An access that hits no window, or only partly, reads as
 * all ones, is otherwise ignored, and is logged at a limited rate.
 */
#ifndef LKVM_VM_BUS_H
#define LKVM_VM_BUS_H

#include <stdint.h>

#include "util/err.h"
#include "util/log.h"
#include "vm/device.h"

#define BUS_MAX_WINDOWS 128

struct bus_window {
	uint64_t base;
	uint64_t size;
	struct device *dev;
};

struct bus {
	struct bus_window windows[BUS_MAX_WINDOWS]; /* sorted by base, no two overlap */
	unsigned int n;
	struct log *log;
};

void bus_init(struct bus *bus, struct log *log);
/* -EINVAL when it overlaps or wraps, -ENOSPC when full. */
int bus_add(struct bus *bus, uint64_t base, uint64_t size, struct device *dev, struct err *err);

/* @data: @len bytes, little-endian, @len 1..8 as KVM_EXIT_MMIO gives them. Any vCPU thread. */
void bus_read(struct bus *bus, uint64_t addr, unsigned int len, uint8_t *data);
void bus_write(struct bus *bus, uint64_t addr, unsigned int len, const uint8_t *data);

#endif
