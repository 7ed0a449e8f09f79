/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What arm64 state is, for arm/state*.c alone; others use vm/arch.h. Saving reads KVM and appends to a record's payload.
 * Loading comes in two steps: *_decode() takes hostile bytes into memory of ours and checks them, *_apply() hands them to
 * KVM in the order of arm/state.c. Rules of order: Documentation/virt/kvm/api.rst (KVM_SET_ONE_REG),
 * devices/arm-vgic-v3.rst, devices/arm-vgic-its.rst.
 */
#ifndef LKVM_ARM_STATE_H
#define LKVM_ARM_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"

struct vm;
struct vcpu;
struct gic;

#define STATE_VERSION 1 /* of each of these records */

/* One register as KVM_GET_ONE_REG gives it: little-endian bytes, 1 << KVM_REG_SIZE of them. */
struct reg_value {
	uint64_t id;
	uint16_t size;
	uint8_t bytes[256];
};

struct vcpu_state {
	uint32_t mp_state;
	uint8_t serror_pending, serror_has_esr, ext_dabt_pending;
	uint64_t serror_esr;
	struct reg_value *regs; /* sorted by id, no id twice */
	uint32_t nregs;
};

/* A line more for whoever looks for a host: callers go on after it, so that the list is whole. */
void state_refused(struct wbuf *reasons, const struct err *why);

int vcpu_state_save(struct vcpu *vcpu, struct wbuf *out, struct err *err);
int vcpu_state_decode(struct rbuf *in, struct vcpu_state *state, struct err *err);
/*
 * All registers but the counters (clock_state_apply). A register whose value is as it should be is not written, so that
 * those KVM holds fixed are compared; one that differs and cannot be set is refused by id, unless it says less than this
 * host has. docs/snapshot.md has the table. Each that is refused is a line in @reasons, and -EOPNOTSUPP the result.
 */
int vcpu_state_apply(struct vcpu *vcpu, const struct vcpu_state *state, struct wbuf *reasons,
		     struct err *err);
void vcpu_state_release(struct vcpu_state *state);

/* The virtual counter and the wall clock at the moment of saving. */
struct clock_state {
	uint64_t cntvct; /* ticks */
	uint64_t cntpct;
	uint32_t cntfrq;   /* Hz */
	uint64_t realtime; /* ns since 1970 */
};

int clock_state_save(struct vm *vm, struct wbuf *out, struct err *err);
int clock_state_decode(struct rbuf *in, struct clock_state *state, struct err *err);
/* @advance: add the real time that has passed since, told in *@away_ns; else the guest's time stood still. */
int clock_state_apply(struct vm *vm, const struct clock_state *state, bool advance,
		      uint64_t *away_ns, struct err *err);

/*
 * Interrupt controller registers: what userspace reads and writes through KVM_DEV_ARM_VGIC_GRP_*. A list of {group, attr,
 * value} in the order in which they are to be written.
 */
struct gic_reg {
	uint32_t group;
	uint64_t attr;
	uint64_t value;
};

struct gic_state {
	uint8_t kind; /* enum fdt_gic */
	struct gic_reg *regs;
	uint32_t nregs;
};

/* Flushes pending and ITS tables into guest memory first. */
int gic_state_save(struct vm *vm, const struct gic *gic, struct wbuf *out, struct err *err);
int gic_state_decode(struct rbuf *in, const struct vm *vm, const struct gic *gic,
		     struct gic_state *state, struct err *err);
/*
 * Before RAM is loaded: all registers but those that make KVM look into it. After the first that is refused, one line in
 * @reasons, no other makes sense.
 */
int gic_state_apply(const struct gic *gic, const struct gic_state *state, struct wbuf *reasons);
/* The rest of them: RAM is loaded, and holds the tables. The same for the ITS. */
int gic_state_start(const struct gic *gic, const struct gic_state *state, struct err *err);
void gic_state_release(struct gic_state *state);

int its_state_save(const struct gic *gic, struct wbuf *out, struct err *err);
int its_state_decode(struct rbuf *in, struct gic_state *state, struct err *err);
int its_state_apply(const struct gic *gic, const struct gic_state *state, struct wbuf *reasons);
int its_state_start(const struct gic *gic, const struct gic_state *state, struct err *err);

#endif
