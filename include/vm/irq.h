/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A level-triggered interrupt line as a device sees it: set and cleared, with no knowledge of a controller. The
 * controller's glue supplies `set`; a test supplies its own.
 */
#ifndef LKVM_VM_IRQ_H
#define LKVM_VM_IRQ_H

#include <stdbool.h>
#include <stdint.h>

struct irq_line {
	void (*set)(void *ctx, uint32_t number, bool level);
	void *ctx;
	uint32_t number; /* the controller's: on GIC the INTID */
	bool level; /* last level set: a line that does not change costs no call into the kernel */
};

static inline void irq_set(struct irq_line *line, bool level)
{
	if (line->level == level)
		return;
	line->level = level;
	line->set(line->ctx, line->number, level);
}

#endif
