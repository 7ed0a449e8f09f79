/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The board. Its parts are built in the order of board[] below, which is also the order of the device tree and of saved
 * state; nothing is built anywhere else.
 */
#include "arm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "arm/gicv2m.h"
#include "arm/map.h"
#include "arm/mte.h"
#include "arm/vcpu.h"
#include "hw/rtc.h"
#include "hw/uart.h"
#include "hw/vmgenid.h"
#include "util/io.h"
#include "vm/vm.h"

#ifndef KVM_CAP_ARM_NISV_TO_USER
#define KVM_CAP_ARM_NISV_TO_USER 177
#endif

#define IPA_BITS_MIN 32
#define IPA_BITS_OLD 40 /* type 0: what KVM gives without KVM_CAP_ARM_VM_IPA_SIZE */

static uint64_t ram_base(const struct vm *vm)
{
	return vm->config.mem_addr ? vm->config.mem_addr : MAP_RAM_BASE;
}

/* The fewest address bits that hold the RAM: fewer levels in stage 2. */
static int vm_type(struct vm *vm, unsigned long *type, struct err *err)
{
	uint64_t last = ram_base(vm) + vm->config.mem_size - 1;
	int limit = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);
	int bits = IPA_BITS_MIN;

	if (ram_base(vm) < MAP_RAM_BASE) {
		err->usage = true;
		return err_set(err, -EINVAL, "-m: RAM starts at 0x%llx or above; devices are below",
			       MAP_RAM_BASE);
	}
	while (bits < 64 && last >> bits)
		bits++;
	if (bits > (limit > 0 ? limit : IPA_BITS_OLD)) {
		limit = limit > 0 ? limit : IPA_BITS_OLD;
		err->usage = true;
		return err_set(
			err, -E2BIG,
			"-m: %llu MiB at 0x%llx need %d address bits, this host gives guests %d: at "
			"most %llu MiB",
			(unsigned long long)vm->config.mem_size >> 20,
			(unsigned long long)ram_base(vm), bits, limit,
			(1ull << limit) > ram_base(vm) ? ((1ull << limit) - ram_base(vm)) >> 20
						       : 0);
	}
	vm->machine->ipa_bits = bits;
	*type = limit > 0 ? bits : 0;
	return 0;
}

static int build_vm(struct vm *vm, struct err *err)
{
	struct kvm_enable_cap nisv = {.cap = KVM_CAP_ARM_NISV_TO_USER};
	unsigned long type = 0;
	int rc = vm_type(vm, &type, err);

	if (!rc && vm->config.mte && !vm->boots)
		rc = mte_check_host(vm->kvm_fd, err);
	if (!rc)
		rc = vm_open(vm, type, err);
	if (!rc && vm->config.mte)
		rc = mte_enable(vm->fd, err);
	if (rc)
		return rc;
	/* Linux 5.5 and later; before, such an access ends KVM_RUN with ENOSYS. */
	ioctl(vm->fd, KVM_ENABLE_CAP, &nisv);
	return 0;
}

static int build_memory(struct vm *vm, struct err *err)
{
	struct mem_spec ram = {
		.name = "ram",
		.gpa = ram_base(vm),
		.size = vm->config.mem_size,
		.backing = vm->config.lazy				 ? MEM_LAZY
			   : vm->config.hugetlbfs			 ? MEM_HUGETLB
			   : vm->config.mem_backend == MEM_BACKEND_MEMFD ? MEM_MEMFD
									 : MEM_ANON,
		.hugetlbfs = vm->config.hugetlbfs,
	};
	int rc;

	vm->mem.slot_tags = vm->config.mte;
	vm->mem.tag_prot = vm->config.mte && !vm->config.debug_no_tags ? mte_prot() : 0;
	vm->mem.sidecar = NULL;
	rc = vm->mem.tag_prot ? mte_sidecar(&vm->machine->tags, TAG_WAY_LDG, &vm->mem, err) : 0;
	if (vm->mem.tag_prot)
		vm->mem.sidecar = &vm->machine->tags.sidecar;
	if (!rc)
		rc = mem_add(&vm->mem, &ram, err);
	if (rc)
		return rc;
	vm->machine->boot.ram_base = ram.gpa;
	vm->machine->boot.ram_size = ram.size;
	vm->machine->fdt.ram = (struct fdt_range){ram.gpa, ram.size};
	return 0;
}

static int build_vcpus(struct vm *vm, struct err *err)
{
	int max = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	uint64_t *mpidr;

	if (max > 0 && vm->config.cpus > (uint32_t)max) {
		err->usage = true;
		return err_set(err, -E2BIG, "-c %u: this host's KVM gives a guest at most %d vCPUs",
			       vm->config.cpus, max);
	}
	mpidr = calloc(vm->config.cpus, sizeof(*mpidr));
	if (!mpidr)
		return err_set(err, -ENOMEM, "no memory for %u vCPUs", vm->config.cpus);
	vm->machine->fdt.mpidr = mpidr;
	vm->machine->fdt.cpus = vm->config.cpus;
	for (uint32_t i = 0; i < vm->config.cpus; i++) {
		int rc = vcpu_create(&vm->vcpus[i], vm, i, err);

		if (!rc)
			rc = arm_vcpu_init(&vm->vcpus[i], err);
		if (rc)
			return rc;
		mpidr[i] = arm_vcpu_mpidr(&vm->vcpus[i]);
	}
	return 0;
}

static int build_gic(struct vm *vm, struct err *err)
{
	struct arch_machine *machine = vm->machine;
	struct irq_line line = gic_line(vm, 0);
	enum fdt_gic kind;
	struct device *dev;
	int rc = gic_choose(vm, &kind, err);

	if (!rc)
		rc = gic_create(vm, kind, &machine->gic, err);
	if (rc)
		return rc;
	vm->config.irqchip = gic_irqchip(kind); /* a reboot or a copy elsewhere gets the same */
	machine->fdt.gic = kind;
	machine->fdt.gic_dist = machine->gic.dist;
	machine->fdt.gic_redist = machine->gic.redist;
	machine->fdt.gic_msi = machine->gic.msi;
	if (kind != FDT_GICV2M)
		return 0;
	machine->fdt.v2m_spi_base = MAP_V2M_IRQ;
	machine->fdt.v2m_spi_count = MAP_V2M_IRQS;
	rc = gicv2m_create("gicv2m", &line, MAP_V2M_IRQ, MAP_V2M_IRQS, &dev, err);
	if (!rc)
		rc = device_register(&vm->devices, dev, err);
	return rc ? rc : bus_add(&vm->bus, machine->gic.msi.base, GICV2M_MMIO_SIZE, dev, err);
}

/* Stolen time: one structure a vCPU, in a bank of its own that the guest reads (Arm DEN0057A). */
static int build_pvtime(struct vm *vm, struct err *err)
{
	const struct mem_spec spec = {
		.name = "pvtime",
		.gpa = MAP_PVTIME_BASE,
		.size = MAP_PVTIME_SIZE,
	};
	int rc = 0;

	if (vm->config.pvtime && ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_STEAL_TIME) > 0)
		rc = mem_add(&vm->mem, &spec, err);
	for (uint32_t i = 0; i < vm->config.cpus && !rc; i++)
		rc = arm_vcpu_attributes(&vm->vcpus[i], err);
	vm->machine->fdt.pmu = vm->config.pmu;
	vm->machine->fdt.pmu_irq = MAP_PMU_IRQ;
	return rc;
}

static int build_uarts(struct vm *vm, struct err *err)
{
	static const char *const names[VM_MAX_UARTS] = {"uart0", "uart1", "uart2", "uart3"};
	struct fdt_desc *fdt = &vm->machine->fdt;

	for (unsigned int i = 0; i < VM_MAX_UARTS; i++) {
		struct irq_line line = gic_line(vm, MAP_UART_IRQ + i);
		const uint64_t base = MAP_UART_BASE + i * UART_MMIO_SIZE;
		struct device *dev;
		int rc;

		if (!vm->serial[i])
			continue;
		rc = uart_create(names[i], vm->serial[i], &line, &vm->log, &dev, err);
		if (!rc)
			rc = device_register(&vm->devices, dev, err);
		if (!rc)
			rc = bus_add(&vm->bus, base, UART_MMIO_SIZE, dev, err);
		if (rc)
			return rc;
		if (!i)
			vm->machine->console = dev;
		fdt->uart[fdt->uarts] = (struct fdt_range){base, UART_MMIO_SIZE};
		fdt->uart_irq[fdt->uarts++] = line.number;
	}
	fdt->uart_clock_hz = UART_CLOCK_HZ;
	fdt->uart_fifo = UART_TX_FIFO;
	fdt->stdout_path = "/serial@1000000";
	return 0;
}

static int build_rtc(struct vm *vm, struct err *err)
{
	struct irq_line line = gic_line(vm, MAP_RTC_IRQ);
	struct device *dev;
	int rc = rtc_create("rtc", &vm->loop, &line, rtc_host_now, &dev, err);

	if (!rc)
		rc = device_register(&vm->devices, dev, err);
	if (!rc)
		rc = bus_add(&vm->bus, MAP_RTC_BASE, RTC_MMIO_SIZE, dev, err);
	vm->machine->fdt.rtc = (struct fdt_range){MAP_RTC_BASE, RTC_MMIO_SIZE};
	vm->machine->fdt.rtc_irq = MAP_RTC_IRQ;
	return rc;
}

/*
 * The guest may map what it is told is memory as it likes, so this is memory, which can hold tags. Read-only: no guest writes
 * the number.
 */
static int build_vmgenid(struct vm *vm, struct err *err)
{
	const struct mem_spec spec = {
		.name = "vmgenid",
		.gpa = MAP_VMGENID_BASE,
		.size = MAP_VMGENID_SIZE,
		.readonly = true,
	};
	struct irq_line line = gic_line(vm, MAP_VMGENID_IRQ);
	struct device *dev;
	int rc = mem_add(&vm->mem, &spec, err);

	if (!rc)
		rc = vmgenid_create("vmgenid", &vm->mem, spec.gpa, &line, &dev, err);
	if (!rc)
		rc = device_register(&vm->devices, dev, err);
	vm->machine->fdt.vmgenid = (struct fdt_range){spec.gpa, VMGENID_SIZE};
	vm->machine->fdt.vmgenid_irq = MAP_VMGENID_IRQ;
	return rc;
}

/* Contents are copied: a file mapping could not hold the tags that the guest may put on it. */
static int build_flash(struct vm *vm, struct err *err)
{
	const struct mem_spec spec = {
		.name = "flash",
		.gpa = MAP_FLASH_BASE,
		.size = MAP_FLASH_SIZE,
		.readonly = true,
	};
	int rc;

	if (!vm->config.flash && !vm->config.flash_bank)
		return 0;
	rc = mem_add(&vm->mem, &spec, err);
	if (rc)
		return rc;
	vm->machine->fdt.flash = (struct fdt_range){spec.gpa, spec.size};
	if (!vm->config.flash)
		return 0;
	rc = boot_load_flat(&vm->mem, vm->config.flash, spec.gpa, spec.size, err);
	err->usage |= rc != 0;
	return rc;
}

static int build_software(struct vm *vm, struct err *err)
{
	struct boot_layout *boot = &vm->machine->boot;
	uint32_t page_size = 0;
	int rc;

	if (vm->config.restoring)
		return 0;
	if (vm->config.kernel)
		rc = boot_load_kernel(&vm->mem, vm->config.kernel, vm->config.initrd, boot,
				      &page_size, err);
	else
		rc = boot_load_firmware(&vm->mem, vm->config.firmware, vm->config.firmware_address,
					boot, err);
	if (!rc && !arm_vcpu_has_granule(&vm->vcpus[0], page_size))
		rc = err_set(
			err, -ENODEV,
			"--kernel %s: it is built for pages of %u KiB, which this CPU does not have",
			vm->config.kernel, page_size / 1024);
	err->usage |= rc != 0;
	if (rc)
		return rc;
	vm->machine->fdt.initrd = (struct fdt_range){boot->initrd, boot->initrd_size};
	return arm_vcpu_boot(&vm->vcpus[0], boot->entry, boot->fdt, err);
}

/* O_NONBLOCK: a FIFO that nobody reads must not hold us, with the terminal raw already. */
static int dump_fdt(const char *path, const void *fdt, size_t size, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
	int rc = fd < 0 ? -errno : io_write_full(fd, fdt, size);

	if (fd >= 0 && close(fd) < 0 && !rc)
		rc = -errno;
	err->usage |= rc != 0;
	return rc ? err_sys(err, rc, "--dump-dtb %s", path) : 0;
}

static int build_fdt(struct vm *vm, struct err *err)
{
	struct fdt_desc *desc = &vm->machine->fdt;
	void *out;
	uint64_t version;
	size_t size;
	int rc;

	if (vm->config.restoring)
		return 0;
	out = gpa_ptr(&vm->mem, vm->machine->boot.fdt, vm->machine->boot.fdt_room, MEM_WRITE);
	desc->cmdline = vm->config.params ? vm->config.params : "";
	if (getrandom(desc->rng_seed, sizeof(desc->rng_seed), 0) != sizeof(desc->rng_seed) ||
	    getrandom(&desc->kaslr_seed, sizeof(desc->kaslr_seed), 0) != sizeof(desc->kaslr_seed))
		return err_sys(err, -errno, "no entropy from the host");
	desc->rng_seed_len = sizeof(desc->rng_seed);
	if (vm->config.kaslr_seed_set)
		desc->kaslr_seed = vm->config.kaslr_seed;
	if (arm_get_reg(&vm->vcpus[0], KVM_REG_ARM_PSCI_VERSION, &version))
		version = 0x10000;
	desc->psci_version = version;
	rc = fdt_build(desc, out, vm->machine->boot.fdt_room, &size, err);
	if (!rc && vm->config.dump_dtb)
		rc = dump_fdt(vm->config.dump_dtb, out, size, err);
	return rc;
}

static int build_seal(struct vm *vm, struct err *err)
{
	int rc = vm->config.debug_no_seal ? 0 : mem_seal(&vm->mem, err);

	return rc < 0 ? rc : 0;
}

struct board_part {
	const char *name;
	int (*build)(struct vm *vm, struct err *err);
};

static const struct board_part board[] = {
	{"vm", build_vm}, /* address bits, MTE: before vCPUs and memory */
	{"memory", build_memory},
	{"vcpus", build_vcpus},
	{"gic", build_gic},	  /* counts the vCPUs */
	{"pvtime", build_pvtime}, /* and PMU: wants a GIC */
	{"uarts", build_uarts},
	{"rtc", build_rtc},
	{"vmgenid", build_vmgenid},
	{"flash", build_flash},
	{"software", build_software},
	{"fdt", build_fdt},   /* describes all of the above */
	{"seal", build_seal}, /* all mappings are there */
};

int arch_machine_build(struct vm *vm, struct err *err)
{
	vm->machine = calloc(1, sizeof(*vm->machine));
	if (!vm->machine)
		return err_set(err, -ENOMEM, "no memory for the machine");
	vm->machine->gic.fd = vm->machine->gic.its_fd = -1;
	for (unsigned int i = 0; i < sizeof(board) / sizeof(board[0]); i++) {
		int rc = board[i].build(vm, err);

		if (rc) {
			arch_machine_release(vm);
			return rc;
		}
	}
	return 0;
}

void arch_machine_release(struct vm *vm)
{
	vm_close(vm);
	vm->mem.sidecar = NULL;
	gic_release(&vm->machine->gic);
	free((void *)vm->machine->fdt.mpidr);
	free(vm->machine);
	vm->machine = NULL;
}

int arch_tags_by_kvm(struct vm *vm, bool kvm, struct err *err)
{
	if (!vm->mem.sidecar)
		return 0;
	return mte_sidecar(&vm->machine->tags, kvm ? TAG_WAY_IOCTL : TAG_WAY_LDG, &vm->mem, err);
}

int arch_sysrq(struct vm *vm, char key, struct err *err)
{
	int rc = vm->machine && vm->machine->console ? uart_sysrq(vm->machine->console, key)
						     : -ENODEV;

	return rc ? err_sys(err, rc, "sysrq: the guest does not take it from its first UART") : 0;
}
