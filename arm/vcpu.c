/* SPDX-License-Identifier: GPL-2.0-only */
#include "arm/vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arm/map.h"
#include "vm/arch.h"
#include "vm/vm.h"

#define CORE_REG(name) \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))

#define MPIDR_EL1	 ARM64_SYS_REG(3, 0, 0, 0, 5)
#define ID_AA64MMFR0_EL1 ARM64_SYS_REG(3, 0, 0, 7, 0)
#define MPIDR_AFFINITY	 0xff00ffffffull

#define PVTIME_STRIDE 64

int arm_get_reg(struct vcpu *vcpu, uint64_t id, uint64_t *value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

	return ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg) < 0 ? -errno : 0;
}

static int set_reg(struct vcpu *vcpu, uint64_t id, uint64_t value, const char *name,
		   struct err *err)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};

	if (ioctl(vcpu->fd, KVM_SET_ONE_REG, &reg) < 0)
		return err_sys(err, -errno, "vcpu %u: cannot set %s", vcpu->index, name);
	return 0;
}

/*
 * Vector lengths the guest may choose are a bitmap, one bit a multiple of 128 bits (Documentation/virt/kvm/api.rst,
 * KVM_REG_ARM64_SVE_VLS). It can be cut from the top only, and only before KVM_ARM_VCPU_FINALIZE.
 */
static int wanted_sve(const struct vm_config *config, uint64_t vls[VM_SVE_WORDS], struct err *err)
{
	uint32_t quanta = config->sve_max_vl / 128;

	if (config->sve_vls[0]) {
		memcpy(vls, config->sve_vls, sizeof(config->sve_vls));
		return 0;
	}
	if (!quanta)
		return 0;
	if (!(vls[0] >> (quanta - 1) & 1))
		return err_set(err, -EINVAL,
			       "--sve-max-vl %u: this host has no SVE vectors of that length",
			       quanta * 128);
	vls[0] &= (1ull << quanta) - 1; /* at most 16: one word is enough */
	return 0;
}

/* The first vCPU decides, from host and configuration; the others, and a copy elsewhere, get exactly the same. */
static int init_sve(struct vcpu *vcpu, struct err *err)
{
	struct vm_config *config = &vcpu->vm->config;
	uint64_t vls[VM_SVE_WORDS] = {0}, offered[VM_SVE_WORDS];
	struct kvm_one_reg reg = {.id = KVM_REG_ARM64_SVE_VLS, .addr = (uintptr_t)vls};
	int sve = KVM_ARM_VCPU_SVE, rc;

	if (ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg) < 0)
		return err_sys(err, -errno, "vcpu %u: SVE vector lengths", vcpu->index);
	memcpy(offered, vls, sizeof(vls));
	rc = wanted_sve(config, vls, err);
	if (rc)
		return rc;
	if (memcmp(offered, vls, sizeof(vls)) && ioctl(vcpu->fd, KVM_SET_ONE_REG, &reg) < 0)
		return err_sys(err, -errno, "vcpu %u: SVE vector lengths", vcpu->index);
	memcpy(config->sve_vls, vls, sizeof(vls));
	return ioctl(vcpu->fd, KVM_ARM_VCPU_FINALIZE, &sve) < 0
		       ? err_sys(err, -errno, "vcpu %u: SVE", vcpu->index)
		       : 0;
}

static bool has_cap(struct vm *vm, int cap)
{
	return ioctl(vm->fd, KVM_CHECK_EXTENSION, cap) > 0;
}

static void feature(struct kvm_vcpu_init *init, unsigned int bit)
{
	init->features[bit / 32] |= 1u << bit % 32;
}

int arm_vcpu_init(struct vcpu *vcpu, struct err *err)
{
	struct vm *vm = vcpu->vm;
	struct kvm_vcpu_init init;
	bool sve =
		has_cap(vm, KVM_CAP_ARM_SVE) && !(vm->config.restoring && !vm->config.sve_vls[0]);

	if (vm->config.sve_max_vl && !sve)
		return err_set(err, -ENODEV, "--sve-max-vl: this host gives guests no SVE");
	if (vm->config.pmu && !has_cap(vm, KVM_CAP_ARM_PMU_V3))
		return err_set(err, -ENODEV, "--pmu: this host gives guests no PMU");
	if (ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &init) < 0)
		return err_sys(err, -errno, "vcpu %u: preferred target", vcpu->index);
	feature(&init, KVM_ARM_VCPU_PSCI_0_2); /* KVM then gives its newest PSCI */
	if (vcpu->index)
		feature(&init, KVM_ARM_VCPU_POWER_OFF);
	if (vm->config.pmu)
		feature(&init, KVM_ARM_VCPU_PMU_V3);
	if (sve)
		feature(&init, KVM_ARM_VCPU_SVE);
	if (has_cap(vm, KVM_CAP_ARM_PTRAUTH_ADDRESS) && has_cap(vm, KVM_CAP_ARM_PTRAUTH_GENERIC)) {
		feature(&init, KVM_ARM_VCPU_PTRAUTH_ADDRESS); /* KVM wants both or none */
		feature(&init, KVM_ARM_VCPU_PTRAUTH_GENERIC);
	}
	if (ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init) < 0)
		return err_sys(err, -errno, "vcpu %u: KVM cannot initialise it", vcpu->index);
	return sve ? init_sve(vcpu, err) : 0;
}

static int set_attr(struct vcpu *vcpu, uint32_t group, uint64_t attr, const void *value,
		    const char *what, struct err *err)
{
	struct kvm_device_attr set = {.group = group, .attr = attr, .addr = (uintptr_t)value};

	if (ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &set) < 0)
		return err_sys(err, -errno, "vcpu %u: %s", vcpu->index, what);
	return 0;
}

int arm_vcpu_attributes(struct vcpu *vcpu, struct err *err)
{
	struct vm *vm = vcpu->vm;
	const int irq = MAP_PMU_IRQ;
	const uint64_t ipa = MAP_PVTIME_BASE + vcpu->index * PVTIME_STRIDE;
	int rc = 0;

	if (vm->config.pmu) {
		rc = set_attr(vcpu, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, &irq,
			      "PMU interrupt", err);
		if (!rc)
			rc = set_attr(vcpu, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT,
				      NULL, "PMU", err);
	}
	if (!rc && vm->config.pvtime && has_cap(vm, KVM_CAP_STEAL_TIME))
		rc = set_attr(vcpu, KVM_ARM_VCPU_PVTIME_CTRL, KVM_ARM_VCPU_PVTIME_IPA, &ipa,
			      "stolen time", err);
	return rc;
}

/* booting.rst: x0 is the device tree, x1 to x3 are zero, as KVM's reset leaves them; so are PSTATE and the MMU. */
int arm_vcpu_boot(struct vcpu *vcpu, uint64_t pc, uint64_t x0, struct err *err)
{
	int rc = set_reg(vcpu, CORE_REG(regs.pc), pc, "pc", err);

	return rc ? rc : set_reg(vcpu, CORE_REG(regs.regs[0]), x0, "x0", err);
}

uint32_t arm_cntfrq(void)
{
	uint64_t value;

	/* Arm ARM D19, CNTFRQ_EL0: Linux lets EL0 read it. */
	__asm__("mrs %0, cntfrq_el0" : "=r"(value));
	return value;
}

uint64_t arm_cntvct(void)
{
	uint64_t count;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(count) : : "memory");
	return count;
}

uint64_t arm_vcpu_mpidr(struct vcpu *vcpu)
{
	uint64_t value = 0;

	arm_get_reg(vcpu, MPIDR_EL1, &value);
	return value & MPIDR_AFFINITY;
}

bool arm_vcpu_has_granule(struct vcpu *vcpu, uint32_t page_size)
{
	uint64_t mmfr0;

	if (arm_get_reg(vcpu, ID_AA64MMFR0_EL1, &mmfr0))
		return true;
	/* Arm ARM D19, ID_AA64MMFR0_EL1: TGran4 [31:28] and TGran64 [27:24] 0xf is absent, TGran16 [23:20] 0 is. */
	switch (page_size) {
	case 4096:
		return (mmfr0 >> 28 & 15) != 15;
	case 16384:
		return (mmfr0 >> 20 & 15) != 0;
	case 65536:
		return (mmfr0 >> 24 & 15) != 15;
	default:
		return true;
	}
}

/* PSCI SYSTEM_OFF, SYSTEM_RESET and SYSTEM_RESET2 arrive here; the rest of PSCI is the kernel's. */
static int system_event(struct vcpu *vcpu, struct err *err)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_finish(vcpu->vm, VM_END_POWER_OFF, NULL);
		return 1;
	case KVM_SYSTEM_EVENT_RESET:
		vm_finish(vcpu->vm, VM_END_RESET, NULL);
		return 1;
	case KVM_SYSTEM_EVENT_CRASH:
		return err_set(err, -EIO, "KVM says the guest crashed");
	default:
		return err_set(err, -EPROTO, "unknown system event %u",
			       vcpu->run->system_event.type);
	}
}

/*
 * The guest used an instruction on a device address that the CPU does not describe to us (a pair, an atomic, a cache
 * operation). On hardware without a device there it would take an external abort: so it does here.
 */
static int inject_abort(struct vcpu *vcpu, struct err *err)
{
	struct kvm_vcpu_events events;

	log_guest(&vcpu->vm->log,
		  "vcpu %u: an access to 0x%llx that cannot be emulated; the guest gets an abort",
		  vcpu->index, (unsigned long long)vcpu->run->arm_nisv.fault_ipa);
	memset(&events, 0, sizeof(events));
	events.exception.ext_dabt_pending = 1;
	if (ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events) < 0)
		return err_sys(err, -errno, "cannot inject an abort");
	return 0;
}

int arch_vcpu_exit(struct vcpu *vcpu, struct err *err)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_SYSTEM_EVENT:
		return system_event(vcpu, err);
	case KVM_EXIT_ARM_NISV:
		return inject_abort(vcpu, err);
	case KVM_EXIT_FAIL_ENTRY:
		return err_set(err, -EIO, "the CPU cannot enter the guest (reason 0x%llx)",
			       (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	case KVM_EXIT_INTERNAL_ERROR:
		return err_set(err, -EIO, "internal error of KVM (%u)", run->internal.suberror);
	default:
		return err_set(err, -EPROTO, "unexpected exit %u of KVM", run->exit_reason);
	}
}
