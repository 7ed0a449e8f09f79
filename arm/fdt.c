/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <libfdt.h>

#include "arm/fdt.h"
#include "vm/config.h"

/* Third cell of an interrupt specifier (bindings/interrupt-controller/arm,gic.yaml). */
#define IRQ_EDGE_RISING 1
#define IRQ_LEVEL_HIGH	4
#define IRQ_LEVEL_LOW	8
#define GIC_SPI		0
#define GIC_PPI		1

/* PL031's bus clock; nothing depends on its rate, but the primecell binding wants one. */
#define APB_CLOCK_HZ 24000000

enum phandle { PHANDLE_GIC = 1, PHANDLE_CLOCK };

/*
 * The tree as it is written from front to back. The error is sticky: after the first one (libfdt's
 * number) nothing is written any more.
 */
struct tree {
	void *fdt;
	int error;
};

static void node(struct tree *t, const char *name)
{
	if (!t->error)
		t->error = fdt_begin_node(t->fdt, name);
}

static void node_at(struct tree *t, const char *name, uint64_t address)
{
	char full[64];

	(void)snprintf(full, sizeof(full), "%s@%" PRIx64, name, address);
	node(t, full);
}

static void end(struct tree *t)
{
	if (!t->error)
		t->error = fdt_end_node(t->fdt);
}

static void prop(struct tree *t, const char *name, const void *value, size_t len)
{
	if (!t->error && len > FDT_ROOM)
		t->error = -FDT_ERR_NOSPACE;
	if (!t->error)
		t->error = fdt_property(t->fdt, name, value, (int)len);
}

static void prop_str(struct tree *t, const char *name, const char *value)
{
	prop(t, name, value, strlen(value) + 1);
}

#define PROP_STRS_MAX 64

/* A list of strings; NULL ends it. */
static void prop_strs(struct tree *t, const char *name, const char *const *values)
{
	char list[PROP_STRS_MAX];
	size_t len = 0;

	for (; *values; values++) {
		size_t n = strlen(*values) + 1;

		if (n > sizeof(list) - len) {
			t->error = t->error ? t->error : -FDT_ERR_INTERNAL;
			return;
		}
		memcpy(list + len, *values, n);
		len += n;
	}
	prop(t, name, list, len);
}

#define PROP_CELLS_MAX 16

static void prop_cells(struct tree *t, const char *name, const uint32_t *cells, size_t n)
{
	fdt32_t be[PROP_CELLS_MAX];

	if (n > PROP_CELLS_MAX) {
		t->error = t->error ? t->error : -FDT_ERR_INTERNAL;
		return;
	}
	for (size_t i = 0; i < n; i++)
		be[i] = cpu_to_fdt32(cells[i]);
	prop(t, name, be, n * sizeof(be[0]));
}

static void prop_u32(struct tree *t, const char *name, uint32_t value)
{
	prop_cells(t, name, &value, 1);
}

static void prop_u64(struct tree *t, const char *name, uint64_t value)
{
	const uint32_t cells[] = {(uint32_t)(value >> 32), (uint32_t)value};

	prop_cells(t, name, cells, 2);
}

/*
 * One cell where that is enough: consumers go by the length, and the older schema of /chosen knows
 * only one.
 */
static void prop_address(struct tree *t, const char *name, uint64_t value)
{
	if (value > UINT32_MAX)
		prop_u64(t, name, value);
	else
		prop_u32(t, name, (uint32_t)value);
}

static void prop_flag(struct tree *t, const char *name)
{
	prop(t, name, "", 0);
}

/* "reg" of one or two ranges under a parent of two address and two size cells. */
static void prop_reg(struct tree *t, const struct fdt_range *range, const struct fdt_range *second)
{
	uint32_t cells[8];
	size_t n = 0;

	for (const struct fdt_range *r = range; r; r = r == second ? NULL : second) {
		cells[n++] = (uint32_t)(r->base >> 32);
		cells[n++] = (uint32_t)r->base;
		cells[n++] = (uint32_t)(r->size >> 32);
		cells[n++] = (uint32_t)r->size;
	}
	prop_cells(t, "reg", cells, n);
}

static bool is_gicv2(const struct fdt_desc *d)
{
	return d->gic == FDT_GICV2 || d->gic == FDT_GICV2M;
}

/*
 * Flags of a PPI. GICv2's binding has a mask of the CPUs it is wired to in bits 15:8; GICv3's has
 * none, and knows level-triggered only as 4.
 */
static uint32_t ppi_flags(const struct fdt_desc *d, uint32_t v2_level)
{
	if (!is_gicv2(d))
		return IRQ_LEVEL_HIGH;
	return ((1u << d->cpus) - 1) << 8 | v2_level;
}

static void prop_spi(struct tree *t, uint32_t intid, uint32_t flags)
{
	const uint32_t cells[] = {GIC_SPI, intid - 32, flags};

	prop_cells(t, "interrupts", cells, 3);
}

static void add_aliases(struct tree *t, const struct fdt_desc *d)
{
	if (!d->uarts)
		return;
	node(t, "aliases");
	for (uint32_t i = 0; i < d->uarts; i++) {
		char name[24], path[40];
		/* Port 3 is ttyS3, also when there is no port 2. */
		uint64_t port = (d->uart[i].base - d->uart[0].base) / d->uart[i].size;

		(void)snprintf(name, sizeof(name), "serial%" PRIu64, port);
		(void)snprintf(path, sizeof(path), "/serial@%" PRIx64, d->uart[i].base);
		prop_str(t, name, path);
	}
	end(t);
}

static void add_chosen(struct tree *t, const struct fdt_desc *d)
{
	node(t, "chosen");
	if (d->cmdline)
		prop_str(t, "bootargs", d->cmdline);
	if (d->stdout_path)
		prop_str(t, "stdout-path", d->stdout_path);
	if (d->initrd.size) {
		prop_address(t, "linux,initrd-start", d->initrd.base);
		prop_address(t, "linux,initrd-end", d->initrd.base + d->initrd.size);
	}
	if (d->kaslr_seed)
		prop_u64(t, "kaslr-seed", d->kaslr_seed);
	if (d->rng_seed_len)
		prop(t, "rng-seed", d->rng_seed, d->rng_seed_len);
	end(t);
}

static void add_memory(struct tree *t, const struct fdt_desc *d)
{
	node_at(t, "memory", d->ram.base);
	prop_str(t, "device_type", "memory");
	prop_reg(t, &d->ram, NULL);
	end(t);
}

#define MPIDR_AFF3 0xff00000000ull
#define MPIDR_AFF  (MPIDR_AFF3 | 0xffffff)

/*
 * bindings/arm/cpus.yaml: with one cell, reg is Aff2..Aff0; where a CPU has Aff3 two cells are
 * needed, Aff3 in the first.
 */
static void add_cpus(struct tree *t, const struct fdt_desc *d)
{
	uint32_t cells = 1;

	for (uint32_t i = 0; i < d->cpus; i++)
		if (d->mpidr[i] & MPIDR_AFF3)
			cells = 2;

	node(t, "cpus");
	prop_u32(t, "#address-cells", cells);
	prop_u32(t, "#size-cells", 0);
	for (uint32_t i = 0; i < d->cpus; i++) {
		uint64_t aff = d->mpidr[i] & MPIDR_AFF;
		const uint32_t reg[] = {(uint32_t)(aff >> 32), (uint32_t)aff};

		node_at(t, "cpu", aff);
		prop_str(t, "device_type", "cpu");
		prop_str(t, "compatible", "arm,armv8");
		prop_cells(t, "reg", reg + 2 - cells, cells);
		prop_str(t, "enable-method", "psci");
		end(t);
	}
	end(t);
}

static void add_psci(struct tree *t, const struct fdt_desc *d)
{
	static const char *const v1[] = {"arm,psci-1.0", "arm,psci-0.2", NULL};

	node(t, "psci");
	prop_strs(t, "compatible", d->psci_version >= 0x10000 ? v1 : v1 + 1);
	prop_str(t, "method", "hvc");
	end(t);
}

/*
 * bindings/timer/arm,arch_timer.yaml: secure physical, non-secure physical, virtual, hypervisor.
 * always-on: the timer goes on while a vCPU waits in WFI.
 */
static void add_timer(struct tree *t, const struct fdt_desc *d)
{
	static const uint32_t ppis[] = {13, 14, 11, 10};
	uint32_t cells[12];

	for (size_t i = 0; i < 4; i++) {
		cells[3 * i] = GIC_PPI;
		cells[3 * i + 1] = ppis[i];
		cells[3 * i + 2] = ppi_flags(d, IRQ_LEVEL_LOW);
	}
	node(t, "timer");
	prop_str(t, "compatible", "arm,armv8-timer");
	prop_cells(t, "interrupts", cells, 12);
	prop_flag(t, "always-on");
	end(t);
}

static void add_msi_frame(struct tree *t, const struct fdt_desc *d)
{
	if (d->gic == FDT_GICV2M) {
		node_at(t, "v2m", d->gic_msi.base);
		prop_str(t, "compatible", "arm,gic-v2m-frame");
		prop_flag(t, "msi-controller");
		prop_reg(t, &d->gic_msi, NULL);
		prop_u32(t, "arm,msi-base-spi", d->v2m_spi_base);
		prop_u32(t, "arm,msi-num-spis", d->v2m_spi_count);
	} else {
		node_at(t, "msi-controller", d->gic_msi.base);
		prop_str(t, "compatible", "arm,gic-v3-its");
		prop_flag(t, "msi-controller");
		prop_u32(t, "#msi-cells", 1);
		prop_reg(t, &d->gic_msi, NULL);
	}
	end(t);
}

static void add_gic(struct tree *t, const struct fdt_desc *d)
{
	bool msi = d->gic == FDT_GICV2M || d->gic == FDT_GICV3_ITS;

	node_at(t, "interrupt-controller", d->gic_dist.base);
	prop_str(t, "compatible", is_gicv2(d) ? "arm,cortex-a15-gic" : "arm,gic-v3");
	prop_flag(t, "interrupt-controller");
	prop_u32(t, "#interrupt-cells", 3);
	prop_u32(t, "phandle", PHANDLE_GIC);
	/* Devicetree Specification 2.4.3: an interrupt parent has #address-cells, if only 0. */
	prop_u32(t, "#address-cells", msi ? 2 : 0);
	if (msi) {
		prop_u32(t, "#size-cells", 2);
		prop_flag(t, "ranges");
	}
	prop_reg(t, &d->gic_dist, &d->gic_redist);
	if (msi)
		add_msi_frame(t, d);
	end(t);
}

static void add_pmu(struct tree *t, const struct fdt_desc *d)
{
	const uint32_t cells[] = {GIC_PPI, d->pmu_irq - 16, ppi_flags(d, IRQ_LEVEL_HIGH)};

	node(t, "pmu");
	prop_str(t, "compatible", "arm,armv8-pmuv3");
	prop_cells(t, "interrupts", cells, 3);
	end(t);
}

static void add_uart(struct tree *t, const struct fdt_desc *d, uint32_t i)
{
	node_at(t, "serial", d->uart[i].base);
	prop_str(t, "compatible", "ns16550a");
	prop_reg(t, &d->uart[i], NULL);
	prop_spi(t, d->uart_irq[i], IRQ_LEVEL_HIGH);
	prop_u32(t, "clock-frequency", d->uart_clock_hz);
	prop_u32(t, "reg-shift", 0);
	if (d->uart_fifo)
		prop_u32(t, "fifo-size", d->uart_fifo);
	end(t);
}

static void add_rtc(struct tree *t, const struct fdt_desc *d)
{
	static const char *const compatible[] = {"arm,pl031", "arm,primecell", NULL};
	char name[32];

	(void)snprintf(name, sizeof(name), "clock-%u", APB_CLOCK_HZ);
	node(t, name);
	prop_str(t, "compatible", "fixed-clock");
	prop_u32(t, "#clock-cells", 0);
	prop_u32(t, "clock-frequency", APB_CLOCK_HZ);
	prop_u32(t, "phandle", PHANDLE_CLOCK);
	end(t);

	node_at(t, "rtc", d->rtc.base);
	prop_strs(t, "compatible", compatible);
	prop_reg(t, &d->rtc, NULL);
	prop_spi(t, d->rtc_irq, IRQ_LEVEL_HIGH);
	prop_u32(t, "clocks", PHANDLE_CLOCK);
	prop_str(t, "clock-names", "apb_pclk");
	end(t);
}

/* bindings/rng/microsoft,vmgenid.yaml. Not under /memory: Linux maps it by itself. */
static void add_vmgenid(struct tree *t, const struct fdt_desc *d)
{
	node_at(t, "rng", d->vmgenid.base);
	prop_str(t, "compatible", "microsoft,vmgenid");
	prop_reg(t, &d->vmgenid, NULL);
	prop_spi(t, d->vmgenid_irq, IRQ_EDGE_RISING);
	end(t);
}

/* bindings/mtd/mtd-physmap.yaml. "mtd-rom" is read-only by what it is. */
static void add_flash(struct tree *t, const struct fdt_desc *d)
{
	node_at(t, "flash", d->flash.base);
	prop_str(t, "compatible", "mtd-rom");
	prop_reg(t, &d->flash, NULL);
	prop_u32(t, "bank-width", 4);
	end(t);
}

static void write_tree(struct tree *t, const struct fdt_desc *d)
{
	node(t, "");
	prop_str(t, "compatible", "linux,dummy-virt");
	prop_str(t, "model", "lkvm");
	prop_u32(t, "#address-cells", 2);
	prop_u32(t, "#size-cells", 2);
	prop_u32(t, "interrupt-parent", PHANDLE_GIC);

	add_aliases(t, d);
	add_chosen(t, d);
	add_memory(t, d);
	add_cpus(t, d);
	add_psci(t, d);
	add_timer(t, d);
	add_gic(t, d);
	if (d->pmu)
		add_pmu(t, d);
	for (uint32_t i = 0; i < d->uarts; i++)
		add_uart(t, d, i);
	if (d->rtc.size)
		add_rtc(t, d);
	if (d->vmgenid.size)
		add_vmgenid(t, d);
	if (d->flash.size)
		add_flash(t, d);
	end(t);
}

static int check(const struct fdt_desc *d, struct err *err)
{
	if (!d->cpus || (is_gicv2(d) && d->cpus > VM_GICV2_CPUS))
		return err_set(err, -EINVAL,
			       "device tree: %" PRIu32 " CPUs do not go with this GIC", d->cpus);
	if (d->uarts > FDT_MAX_UARTS || d->rng_seed_len > sizeof(d->rng_seed) ||
	    (d->pmu && (d->pmu_irq < 16 || d->pmu_irq > 31)) || (d->rtc.size && d->rtc_irq < 32) ||
	    (d->vmgenid.size && d->vmgenid_irq < 32))
		return err_set(err, -EINVAL, "device tree: the board's description is wrong");
	for (uint32_t i = 0; i < d->uarts; i++)
		if (d->uart_irq[i] < 32)
			return err_set(err, -EINVAL,
				       "device tree: interrupt %" PRIu32 " of UART %" PRIu32
				       " is no SPI",
				       d->uart_irq[i], i);
	return 0;
}

/*
 * More than the tree can take. libfdt clears all the room it is given (so that the gaps it leaves for
 * alignment are always zero), and touching 2 MiB of guest memory costs more than the tree itself.
 */
static size_t room_needed(const struct fdt_desc *d)
{
	size_t fixed = 8192, a_cpu = 160;

	return fixed + d->cpus * a_cpu + (d->cmdline ? strlen(d->cmdline) : 0);
}

int fdt_build(const struct fdt_desc *d, void *out, size_t room, size_t *size, struct err *err)
{
	struct tree t = {.fdt = out};
	int rc = check(d, err);

	if (rc)
		return rc;
	if (room > FDT_ROOM)
		room = FDT_ROOM;
	if (room > room_needed(d))
		room = room_needed(d);

	t.error = fdt_create(out, (int)room);
	if (!t.error)
		t.error = fdt_finish_reservemap(out);
	write_tree(&t, d);
	if (!t.error)
		t.error = fdt_finish(out);
	if (t.error == -FDT_ERR_NOSPACE)
		return err_set(
			err, -ENOSPC,
			"the device tree does not fit into %zu bytes (its command line has %zu)",
			room, d->cmdline ? strlen(d->cmdline) : 0);
	if (t.error)
		return err_set(err, -EINVAL, "device tree: %s", fdt_strerror(t.error));
	*size = fdt_totalsize(out);
	return 0;
}
