/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * arm64 side of a vCPU: features, registers, attributes. Documentation/virt/kvm/api.rst (KVM_ARM_VCPU_INIT,
 * KVM_SET_ONE_REG), devices/vcpu.rst.
 *
 * Order: arm_vcpu_init() of every vCPU, then the GIC is created, then arm_vcpu_attributes() of every vCPU, then
 * arm_vcpu_boot() of vCPU 0 alone; the others wait powered off for PSCI CPU_ON.
 */
#ifndef LKVM_ARM_VCPU_H
#define LKVM_ARM_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

struct vcpu;
struct vm;

/* What is asked of this host that it cannot do (SVE length, PMU) is refused in words. */
int arm_vcpu_init(struct vcpu *vcpu, struct err *err);
int arm_vcpu_attributes(struct vcpu *vcpu, struct err *err);
int arm_vcpu_boot(struct vcpu *vcpu, uint64_t pc, uint64_t x0, struct err *err);

int arm_get_reg(struct vcpu *vcpu, uint64_t id,
		uint64_t *value); /* 64-bit ones; 0 or a negative errno */

uint32_t arm_cntfrq(void);		    /* Hz; KVM gives guests the host's */
uint64_t arm_cntvct(void);		    /* ticks of the host's virtual counter, now */
uint64_t arm_vcpu_mpidr(struct vcpu *vcpu); /* affinity fields */

/* Whether the CPU can run a kernel with pages of that size (ID_AA64MMFR0_EL1.TGran*); 0 is unknown and fine. */
bool arm_vcpu_has_granule(struct vcpu *vcpu, uint32_t page_size);

#endif
