/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a host must have for a saved machine, and whether this one has it. All reasons are collected: an operator who
 * looks for a host wants the list, not the first entry.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "arm/compat.h"
#include "arm/gic.h"
#include "arm/machine.h"
#include "arm/mte.h"
#include "arm/vcpu.h"
#include "vm/arch.h"
#include "vm/vm.h"

#define MIDR_EL1	ARM64_SYS_REG(3, 0, 0, 0, 0)
#define ID_AA64PFR1_EL1 ARM64_SYS_REG(3, 0, 0, 4, 1)
#define PFR1_MTE_SHIFT	8

int arch_compat_save(struct vm *vm, struct wbuf *out, struct err *err)
{
	struct compat c = {
		.page_size = vm->mem.page_size,
		.ipa_bits = vm->machine->ipa_bits,
		.gic = vm->machine->gic.kind,
		.cpus = vm->config.cpus,
		.pmu = vm->config.pmu,
		.cntfrq = arm_cntfrq(),
	};
	struct utsname host;
	uint64_t pfr1;

	if (arm_get_reg(&vm->vcpus[0], MIDR_EL1, &c.midr) ||
	    arm_get_reg(&vm->vcpus[0], ID_AA64PFR1_EL1, &pfr1))
		return err_set(err, -EIO, "cannot read the vCPU's identification");
	c.mte = vm->config.mte ? pfr1 >> PFR1_MTE_SHIFT & 15 : 0;
	memcpy(c.sve_vls, vm->config.sve_vls, sizeof(c.sve_vls));
	uname(&host);
	snprintf(c.kernel, sizeof(c.kernel), "%s", host.release);
	compat_encode(&c, out);
	return 0;
}

void compat_encode(const struct compat *c, struct wbuf *out)
{
	wbuf_str(out, c->kernel);
	wbuf_u64(out, c->midr);
	wbuf_u32(out, c->page_size);
	wbuf_u8(out, c->mte);
	wbuf_u8(out, c->ipa_bits);
	wbuf_u8(out, c->gic);
	wbuf_u8(out, c->pmu);
	wbuf_u32(out, c->cpus);
	wbuf_u32(out, c->cntfrq);
	for (unsigned int i = 0; i < VM_SVE_WORDS; i++)
		wbuf_u64(out, c->sve_vls[i]);
}

int compat_decode(struct rbuf *in, struct compat *c, struct err *err)
{
	memset(c, 0, sizeof(*c));
	rbuf_str(in, c->kernel, sizeof(c->kernel));
	/* It is shown as it is: a stranger's file is not to command a terminal. */
	for (char *at = c->kernel; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
	c->midr = rbuf_u64(in);
	c->page_size = rbuf_u32(in);
	c->mte = rbuf_u8(in);
	c->ipa_bits = rbuf_u8(in);
	c->gic = rbuf_u8(in);
	c->pmu = rbuf_u8(in);
	c->cpus = rbuf_u32(in);
	c->cntfrq = rbuf_u32(in);
	for (unsigned int i = 0; i < VM_SVE_WORDS; i++)
		c->sve_vls[i] = rbuf_u64(in);
	if (rbuf_done(in) || c->mte > 15 || c->ipa_bits > 64 || c->gic > FDT_GICV3_ITS ||
	    c->pmu > 1)
		return err_set(err, -EBADMSG, "the compatibility record is malformed");
	return 0;
}

static void reason(struct wbuf *reasons, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void reason(struct wbuf *reasons, const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n] = '\n';
	wbuf_bytes(reasons, line, n + 1);
}

static bool vm_has(int vm_fd, int cap)
{
	return ioctl(vm_fd, KVM_CHECK_EXTENSION, cap) > 0;
}

/* The vector lengths of this host, from a vCPU that is never run. */
static int host_sve(int vm_fd, uint64_t vls[VM_SVE_WORDS])
{
	struct kvm_one_reg reg = {.id = KVM_REG_ARM64_SVE_VLS, .addr = (uintptr_t)vls};
	struct kvm_vcpu_init init;
	int fd, rc = -1;

	memset(vls, 0, VM_SVE_WORDS * sizeof(vls[0]));
	if (!vm_has(vm_fd, KVM_CAP_ARM_SVE) || ioctl(vm_fd, KVM_ARM_PREFERRED_TARGET, &init) < 0)
		return -1;
	fd = ioctl(vm_fd, KVM_CREATE_VCPU, 0ul);
	if (fd < 0)
		return -1;
	init.features[0] |= 1u << KVM_ARM_VCPU_SVE | 1u << KVM_ARM_VCPU_PSCI_0_2;
	if (ioctl(fd, KVM_ARM_VCPU_INIT, &init) == 0)
		rc = ioctl(fd, KVM_GET_ONE_REG, &reg);
	close(fd);
	return rc;
}

/* A guest's CPU must have all of the lengths up to its longest, and no others. */
static void check_sve(int vm_fd, const struct compat *c, struct wbuf *reasons)
{
	uint64_t vls[VM_SVE_WORDS], longest = 0;
	bool wanted = false;

	for (unsigned int i = 0; i < VM_SVE_WORDS; i++)
		wanted |= c->sve_vls[i] != 0;
	if (host_sve(vm_fd, vls) < 0) {
		if (wanted)
			reason(reasons, "the guest has SVE, this host gives guests none");
		return;
	}
	if (!wanted)
		return;
	longest = 63 - __builtin_clzll(c->sve_vls[0] | 1);
	if ((vls[0] & ((2ull << longest) - 1)) != c->sve_vls[0])
		reason(reasons,
		       "the guest has SVE vectors of the lengths 0x%" PRIx64
		       " (a bit for each multiple of 128 bits), "
		       "this host of 0x%" PRIx64,
		       c->sve_vls[0], vls[0]);
}

static bool device_there(int vm_fd, uint32_t type)
{
	struct kvm_create_device device = {.type = type, .flags = KVM_CREATE_DEVICE_TEST};

	return ioctl(vm_fd, KVM_CREATE_DEVICE, &device) == 0;
}

static void check_gic(int vm_fd, const struct compat *c, struct wbuf *reasons)
{
	bool v3 = c->gic == FDT_GICV3 || c->gic == FDT_GICV3_ITS;
	bool there = device_there(vm_fd, v3 ? KVM_DEV_TYPE_ARM_VGIC_V3 : KVM_DEV_TYPE_ARM_VGIC_V2);

	if (there && c->gic == FDT_GICV3_ITS)
		there = device_there(vm_fd, KVM_DEV_TYPE_ARM_VGIC_ITS);
	if (!there)
		reason(reasons, "the guest has a %s, this host cannot give one",
		       gic_kind_name(c->gic));
}

static void check_vm(int vm_fd, const struct compat *c, struct wbuf *reasons)
{
	int max = ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);

	if (max > 0 && c->cpus > (uint32_t)max)
		reason(reasons, "the guest has %u vCPUs, this host gives %d", c->cpus, max);
	if (c->pmu && !vm_has(vm_fd, KVM_CAP_ARM_PMU_V3))
		reason(reasons, "the guest has a PMU, this host gives guests none");
	check_gic(vm_fd, c, reasons);
	check_sve(vm_fd, c, reasons);
}

static void check_host(int kvm_fd, const struct compat *c, struct wbuf *reasons)
{
	int limit = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);
	long page = sysconf(_SC_PAGESIZE);
	struct err why = ERR_INIT;

	if (c->mte && mte_check_host(kvm_fd, &why))
		reason(reasons, "the guest has memory tags; %s", why.msg);
	if (c->page_size != page)
		reason(reasons, "saved on a host with pages of %u bytes, this one has %ld",
		       c->page_size, page);
	if (c->ipa_bits > (limit > 0 ? limit : 40))
		reason(reasons, "the guest needs %u address bits, this host gives guests %d",
		       c->ipa_bits, limit > 0 ? limit : 40);
	if (c->cntfrq != arm_cntfrq())
		reason(reasons, "the guest's counter runs at %u Hz, this host's at %u", c->cntfrq,
		       arm_cntfrq());
}

int arch_compat_check(int kvm_fd, struct rbuf *in, struct wbuf *reasons, struct err *err)
{
	size_t before = reasons->len, lines = 0;
	struct compat c;
	int rc = compat_decode(in, &c, err), vm_fd;

	if (rc)
		return rc;
	check_host(kvm_fd, &c, reasons);
	vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0ul);
	if (vm_fd < 0)
		return err_sys(err, -errno, "KVM cannot create a VM to ask");
	check_vm(vm_fd, &c, reasons);
	close(vm_fd);
	for (size_t i = before; i < reasons->len; i++)
		lines += reasons->data[i] == '\n';
	return lines;
}
