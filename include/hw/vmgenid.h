/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMGenID: 16 bytes in memory that the guest reads, another number in each machine that goes on from the same past, and an
 * interrupt when they change. A guest that sees it makes new random seeds, keys and the like. Microsoft, "Virtual Machine
 * Generation ID"; binding microsoft,vmgenid of Linux (driver from 6.10 on).
 */
#ifndef LKVM_HW_VMGENID_H
#define LKVM_HW_VMGENID_H

#include "util/err.h"
#include "vm/device.h"
#include "vm/irq.h"
#include "vm/memory.h"

#define VMGENID_SIZE 16

/*
 * A new random number, stored at @gpa, in a bank of @mem that only we write. @irq is an edge: set and cleared at once, after
 * the number has changed. It changes with ops->copied() and at no other time.
 */
int vmgenid_create(const char *name, struct mem *mem, uint64_t gpa, const struct irq_line *irq,
		   struct device **out, struct err *err);

#endif
