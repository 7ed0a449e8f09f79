/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's device tree, made from a plain description of the board: pure code, no KVM, so that it is tested
 * natively. Bindings: Documentation/devicetree/bindings of Linux, the Devicetree Specification 0.4.
 */
#ifndef LKVM_ARM_FDT_H
#define LKVM_ARM_FDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#define FDT_MAX_UARTS 4
#define FDT_ROOM      0x200000 /* booting.rst: at most 2 MiB */

enum fdt_gic { FDT_GICV2, FDT_GICV2M, FDT_GICV3, FDT_GICV3_ITS };

struct fdt_range {
	uint64_t base, size; /* size 0: absent */
};

struct fdt_desc {
	const uint64_t *mpidr; /* one a vCPU: affinity fields of MPIDR_EL1 */
	uint32_t cpus;

	struct fdt_range ram;
	struct fdt_range initrd;
	const char *cmdline;
	uint64_t kaslr_seed;  /* 0: no property */
	uint8_t rng_seed[64]; /* rng_seed_len bytes of it */
	uint32_t rng_seed_len;
	const char *stdout_path; /* node path, e.g. "/serial@1000000"; NULL: none */

	enum fdt_gic gic;
	struct fdt_range gic_dist;
	struct fdt_range gic_redist;	      /* v3: redistributors; v2: CPU interface */
	struct fdt_range gic_msi;	      /* v2m: MSI frame; v3-its: ITS */
	uint32_t v2m_spi_base, v2m_spi_count; /* INTIDs */

	uint32_t psci_version; /* as PSCI_VERSION returns it: 0x10000 is 1.0 */
	bool pmu;
	uint32_t pmu_irq; /* PPI INTID 16..31 */

	struct fdt_range uart[FDT_MAX_UARTS];
	uint32_t uart_irq[FDT_MAX_UARTS]; /* INTIDs (SPI: 32 and up) */
	uint32_t uarts;
	uint32_t uart_clock_hz;
	uint32_t uart_fifo; /* bytes a driver may write at once; 0: not told, the chip's 16 */

	struct fdt_range rtc;
	uint32_t rtc_irq;
	struct fdt_range vmgenid;
	uint32_t vmgenid_irq;
	struct fdt_range flash; /* read-only memory-mapped ("mtd-rom") */
};

/*
 * Writes the tree to @out (@room bytes, at most FDT_ROOM) and its size to *@size. Deterministic for the same input.
 * -ENOSPC if it does not fit.
 */
int fdt_build(const struct fdt_desc *desc, void *out, size_t room, size_t *size, struct err *err);

#endif
