/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * GICv2m MSI frame (Arm Server Base System Architecture, appendix): a write to MSI_SETSPI_NS raises an SPI. Stateless:
 * what it raises is the distributor's state.
 */
#ifndef LKVM_ARM_GICV2M_H
#define LKVM_ARM_GICV2M_H

#include "util/err.h"
#include "vm/device.h"
#include "vm/irq.h"

#define GICV2M_MMIO_SIZE 0x1000

/* @line is the controller's template (gic_line()); its number is replaced by first..first + count - 1. */
int gicv2m_create(const char *name, const struct irq_line *line, uint32_t first, uint32_t count,
		  struct device **out, struct err *err);

#endif
