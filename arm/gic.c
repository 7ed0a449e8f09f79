/* SPDX-License-Identifier: GPL-2.0-only */
#include "arm/gic.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "arm/map.h"
#include "vm/vm.h"

#define KIB 1024ull

#define DIST_SIZE   (64 * KIB)
#define REDIST_SIZE (128 * KIB) /* a vCPU */
#define ITS_SIZE    (128 * KIB)
#define CPUIF_SIZE  (64 * KIB) /* GICv2 CPU interface: 8 KiB used */
#define V2M_SIZE    (64 * KIB)

const char *gic_kind_name(enum fdt_gic kind)
{
	static const char *const names[] = {
		[FDT_GICV2] = "gicv2",
		[FDT_GICV2M] = "gicv2m",
		[FDT_GICV3] = "gicv3",
		[FDT_GICV3_ITS] = "gicv3-its",
	};

	return names[kind];
}

enum vm_irqchip gic_irqchip(enum fdt_gic kind)
{
	static const enum vm_irqchip chips[] = {
		[FDT_GICV2] = IRQCHIP_GICV2,
		[FDT_GICV2M] = IRQCHIP_GICV2M,
		[FDT_GICV3] = IRQCHIP_GICV3,
		[FDT_GICV3_ITS] = IRQCHIP_GICV3_ITS,
	};

	return chips[kind];
}

static bool host_has(struct vm *vm, uint32_t type)
{
	struct kvm_create_device device = {.type = type, .flags = KVM_CREATE_DEVICE_TEST};

	return ioctl(vm->fd, KVM_CREATE_DEVICE, &device) == 0;
}

/* All kinds, best first. */
int gic_choose(struct vm *vm, enum fdt_gic *kind, struct err *err)
{
	bool v3 = host_has(vm, KVM_DEV_TYPE_ARM_VGIC_V3);
	bool its = v3 && host_has(vm, KVM_DEV_TYPE_ARM_VGIC_ITS);
	bool v2 = host_has(vm, KVM_DEV_TYPE_ARM_VGIC_V2);
	const struct {
		enum fdt_gic kind;
		enum vm_irqchip asked;
		bool there;
	} all[] = {
		{FDT_GICV3_ITS, IRQCHIP_GICV3_ITS, its},
		{FDT_GICV3, IRQCHIP_GICV3, v3},
		{FDT_GICV2M, IRQCHIP_GICV2M, v2},
		{FDT_GICV2, IRQCHIP_GICV2, v2},
	};
	enum vm_irqchip asked = vm->config.irqchip;
	char offers[64] = "";

	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!all[i].there)
			continue;
		snprintf(offers + strlen(offers), sizeof(offers) - strlen(offers), " %s",
			 gic_kind_name(all[i].kind));
		if (asked != IRQCHIP_AUTO && asked != all[i].asked)
			continue;
		*kind = all[i].kind;
		if ((*kind == FDT_GICV2 || *kind == FDT_GICV2M) && vm->config.cpus > VM_GICV2_CPUS)
			return err_set(err, -EINVAL,
				       "--irqchip %s: at most %d vCPUs, -c asks for %u",
				       gic_kind_name(*kind), VM_GICV2_CPUS, vm->config.cpus);
		return 0;
	}
	if (!offers[0])
		return err_set(err, -ENODEV,
			       "this host's KVM offers no interrupt controller for guests");
	return err_set(err, -ENODEV, "--irqchip: this host cannot give that one; it offers:%s",
		       offers);
}

static int create_device(struct vm *vm, uint32_t type, int *fd, struct err *err)
{
	struct kvm_create_device device = {.type = type};

	if (ioctl(vm->fd, KVM_CREATE_DEVICE, &device) < 0)
		return err_sys(err, -errno, "KVM cannot create it");
	*fd = device.fd;
	return 0;
}

static int set_attr(int fd, uint32_t group, uint64_t attr, const void *value, const char *what,
		    struct err *err)
{
	struct kvm_device_attr set = {.group = group, .attr = attr, .addr = (uintptr_t)value};

	return ioctl(fd, KVM_SET_DEVICE_ATTR, &set) < 0 ? err_sys(err, -errno, "%s", what) : 0;
}

static int set_addr(int fd, uint64_t type, uint64_t base, const char *what, struct err *err)
{
	return set_attr(fd, KVM_DEV_ARM_VGIC_GRP_ADDR, type, &base, what, err);
}

static int init_controller(int fd, struct err *err)
{
	const uint32_t intids = GIC_INTIDS;
	int rc;

	rc = set_attr(fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &intids, "number of interrupts", err);
	if (!rc)
		rc = set_attr(fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL,
			      "init", err);
	return rc;
}

static int create_v3(struct vm *vm, struct gic *gic, struct err *err)
{
	int rc;

	gic->dist = (struct fdt_range){MAP_GIC_TOP - DIST_SIZE, DIST_SIZE};
	gic->redist.size = vm->config.cpus * REDIST_SIZE;
	gic->redist.base = gic->dist.base - gic->redist.size;

	rc = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V3, &gic->fd, err);
	if (!rc)
		rc = set_addr(gic->fd, KVM_VGIC_V3_ADDR_TYPE_DIST, gic->dist.base, "distributor",
			      err);
	if (!rc)
		rc = set_addr(gic->fd, KVM_VGIC_V3_ADDR_TYPE_REDIST, gic->redist.base,
			      "redistributors", err);
	return rc ? rc : init_controller(gic->fd, err);
}

static int create_its(struct vm *vm, struct gic *gic, struct err *err)
{
	int rc;

	gic->msi = (struct fdt_range){gic->redist.base - ITS_SIZE, ITS_SIZE};
	rc = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_ITS, &gic->its_fd, err);
	if (!rc)
		rc = set_addr(gic->its_fd, KVM_VGIC_ITS_ADDR_TYPE, gic->msi.base, "ITS", err);
	if (!rc)
		rc = set_attr(gic->its_fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT,
			      NULL, "ITS init", err);
	return rc;
}

/* The MSI frame of gicv2m is a device of ours, arm/gicv2m.c; only its place is decided here. */
static int create_v2(struct vm *vm, struct gic *gic, struct err *err)
{
	int rc;

	gic->dist = (struct fdt_range){MAP_GIC_TOP - DIST_SIZE, DIST_SIZE};
	gic->redist = (struct fdt_range){gic->dist.base - CPUIF_SIZE, CPUIF_SIZE};
	if (gic->kind == FDT_GICV2M)
		gic->msi = (struct fdt_range){gic->redist.base - V2M_SIZE, V2M_SIZE};

	rc = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V2, &gic->fd, err);
	if (!rc)
		rc = set_addr(gic->fd, KVM_VGIC_V2_ADDR_TYPE_DIST, gic->dist.base, "distributor",
			      err);
	if (!rc)
		rc = set_addr(gic->fd, KVM_VGIC_V2_ADDR_TYPE_CPU, gic->redist.base, "CPU interface",
			      err);
	return rc ? rc : init_controller(gic->fd, err);
}

int gic_create(struct vm *vm, enum fdt_gic kind, struct gic *gic, struct err *err)
{
	int rc;

	memset(gic, 0, sizeof(*gic));
	gic->kind = kind;
	gic->fd = gic->its_fd = -1;
	if (kind == FDT_GICV2 || kind == FDT_GICV2M)
		rc = create_v2(vm, gic, err);
	else
		rc = create_v3(vm, gic, err);
	if (!rc && kind == FDT_GICV3_ITS)
		rc = create_its(vm, gic, err);
	if (rc) {
		err_prefix(err, "%s", gic_kind_name(kind));
		gic_release(gic);
	}
	return rc;
}

void gic_release(struct gic *gic)
{
	if (gic->its_fd >= 0)
		close(gic->its_fd);
	if (gic->fd >= 0)
		close(gic->fd);
	gic->fd = gic->its_fd = -1;
}

static void line_set(void *ctx, uint32_t number, bool level)
{
	struct kvm_irq_level irq = {
		.irq = (uint32_t)KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | number,
		.level = level,
	};
	struct vm *vm = ctx;

	/* It fails for a number that the controller does not have, and the numbers are the board's. */
	if (ioctl(vm->fd, KVM_IRQ_LINE, &irq) < 0)
		log_guest(&vm->log, "interrupt %u: %s", number, strerror(errno));
}

struct irq_line gic_line(struct vm *vm, uint32_t intid)
{
	return (struct irq_line){.set = line_set, .ctx = vm, .number = intid};
}
