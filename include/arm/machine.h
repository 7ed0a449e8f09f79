/* SPDX-License-Identifier: GPL-2.0-only */
/* The board: what arm/machine.c builds, beside what struct vm already holds. Present between build and release. */
#ifndef LKVM_ARM_MACHINE_H
#define LKVM_ARM_MACHINE_H

#include "arm/boot.h"
#include "arm/fdt.h"
#include "arm/gic.h"
#include "arm/mte.h"
#include "vm/arch.h"

struct arch_machine {
	struct mte_tags tags; /* with --mte */
	struct gic gic;
	struct boot_layout boot;
	struct fdt_desc fdt;	/* filled step by step while the board is built */
	uint8_t ipa_bits;	/* of guest physical addresses */
	struct device *console; /* the first UART */
};

#endif
