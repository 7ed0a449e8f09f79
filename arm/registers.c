/* SPDX-License-Identifier: GPL-2.0-only */
/* Registers by name, for people: `lkvm debug --dump`. */
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "arm/vcpu.h"
#include "vm/arch.h"
#include "vm/vm.h"

#define CORE_REG(name) \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))

struct named_reg {
	const char *name;
	uint64_t id;
};

/* Encodings op0, op1, CRn, CRm, op2: Arm ARM D19. A register that this guest does not have is left out. */
static const struct named_reg named[] = {
	{"sp_el0", CORE_REG(regs.sp)},
	{"sp_el1", CORE_REG(sp_el1)},
	{"pc", CORE_REG(regs.pc)},
	{"pstate", CORE_REG(regs.pstate)},
	{"elr_el1", CORE_REG(elr_el1)},
	{"spsr_el1", CORE_REG(spsr[KVM_SPSR_EL1])},
	{"mpidr_el1", ARM64_SYS_REG(3, 0, 0, 0, 5)},
	{"sctlr_el1", ARM64_SYS_REG(3, 0, 1, 0, 0)},
	{"cpacr_el1", ARM64_SYS_REG(3, 0, 1, 0, 2)},
	{"ttbr0_el1", ARM64_SYS_REG(3, 0, 2, 0, 0)},
	{"ttbr1_el1", ARM64_SYS_REG(3, 0, 2, 0, 1)},
	{"tcr_el1", ARM64_SYS_REG(3, 0, 2, 0, 2)},
	{"mair_el1", ARM64_SYS_REG(3, 0, 10, 2, 0)},
	{"vbar_el1", ARM64_SYS_REG(3, 0, 12, 0, 0)},
	{"esr_el1", ARM64_SYS_REG(3, 0, 5, 2, 0)},
	{"far_el1", ARM64_SYS_REG(3, 0, 6, 0, 0)},
	{"contextidr_el1", ARM64_SYS_REG(3, 0, 13, 0, 1)},
	{"tpidr_el0", ARM64_SYS_REG(3, 3, 13, 0, 2)},
	{"tpidr_el1", ARM64_SYS_REG(3, 0, 13, 0, 4)},
	{"cntkctl_el1", ARM64_SYS_REG(3, 0, 14, 1, 0)},
	{"cntv_ctl_el0", KVM_REG_ARM_TIMER_CTL},
	{"cntv_cval_el0", KVM_REG_ARM_TIMER_CVAL},
	{"cntvct_el0", KVM_REG_ARM_TIMER_CNT},
	{"rgsr_el1", ARM64_SYS_REG(3, 0, 1, 0, 5)},
	{"gcr_el1", ARM64_SYS_REG(3, 0, 1, 0, 6)},
	{"tfsr_el1", ARM64_SYS_REG(3, 0, 5, 6, 0)},
	{"tfsre0_el1", ARM64_SYS_REG(3, 0, 5, 6, 1)},
};

static int emit_reg(struct vcpu *vcpu, const char *name, uint64_t id, arch_reg_fn emit, void *ctx,
		    struct err *err)
{
	char text[17];
	uint64_t value;
	int rc = arm_get_reg(vcpu, id, &value);

	if (rc == -ENOENT)
		return 0;
	if (rc)
		return err_sys(err, rc, "vcpu %u: register %s", vcpu->index, name);
	snprintf(text, sizeof(text), "%016" PRIx64, value);
	emit(ctx, name, text);
	return 0;
}

int arch_vcpu_registers(struct vcpu *vcpu, arch_reg_fn emit, void *ctx, struct err *err)
{
	struct kvm_mp_state mp = {0};
	int rc = 0;

	if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp) == 0)
		emit(ctx, "on", mp.mp_state == KVM_MP_STATE_STOPPED ? "0" : "1"); /* PSCI */
	for (unsigned int i = 0; i < 31 && !rc; i++) {
		char name[4];

		snprintf(name, sizeof(name), "x%u", i);
		/* Core register ids count 32-bit words. */
		rc = emit_reg(vcpu, name, CORE_REG(regs.regs[0]) + i * 2, emit, ctx, err);
	}
	for (unsigned int i = 0; i < sizeof(named) / sizeof(named[0]) && !rc; i++)
		rc = emit_reg(vcpu, named[i].name, named[i].id, emit, ctx, err);
	return rc;
}
