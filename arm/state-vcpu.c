/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arm/state.h"
#include "vm/vm.h"

/* As many as KVM has today, five times over; SVE at 2048 bits makes 49 of them long. */
#define MAX_REGS 4096

/* Not in Debian 12's headers: the second group of firmware registers (Linux 5.19). */
#define FW_FEAT_BMAP 0x0016ull

/* arch/arm64/kvm/sys_regs.h of Linux, reset_unknown() */
#define RESET_UNKNOWN 0x1de7ec7edbadc0deull

#define RGSR_EL1   ARM64_SYS_REG(3, 0, 1, 0, 5)
#define GCR_EL1	   ARM64_SYS_REG(3, 0, 1, 0, 6)
#define TFSR_EL1   ARM64_SYS_REG(3, 0, 5, 6, 0)
#define TFSRE0_EL1 ARM64_SYS_REG(3, 0, 5, 6, 1)

static uint32_t reg_size(uint64_t id)
{
	return 1u << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}

/* The counters belong to the whole VM and are set once, by arm/state-clock.c. */
static bool is_counter(uint64_t id)
{
	return id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT;
}

/* Set before KVM_ARM_VCPU_FINALIZE, when the vCPU is built from the configuration. */
static bool is_build_time(uint64_t id)
{
	return id == KVM_REG_ARM64_SVE_VLS;
}

static bool is_firmware(uint64_t id)
{
	uint64_t group = (id & KVM_REG_ARM_COPROC_MASK) >> KVM_REG_ARM_COPROC_SHIFT;

	return group == KVM_REG_ARM_FW >> KVM_REG_ARM_COPROC_SHIFT || group == FW_FEAT_BMAP;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* As assemblers call it where it is a system register, else KVM's number. */
static const char *reg_name(uint64_t id, char text[40])
{
	if (id == KVM_REG_ARM_PSCI_VERSION)
		snprintf(text, 40, "PSCI_VERSION");
	else if (id == RGSR_EL1 || id == GCR_EL1)
		snprintf(text, 40, id == GCR_EL1 ? "GCR_EL1" : "RGSR_EL1");
	else if (id == TFSR_EL1 || id == TFSRE0_EL1)
		snprintf(text, 40, id == TFSR_EL1 ? "TFSR_EL1" : "TFSRE0_EL1");
	else if ((id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM64_SYSREG)
		snprintf(text, 40, "S%u_%u_C%u_C%u_%u", (unsigned int)(id >> 14 & 3),
			 (unsigned int)(id >> 11 & 7), (unsigned int)(id >> 7 & 15),
			 (unsigned int)(id >> 3 & 15), (unsigned int)(id & 7));
	else
		snprintf(text, 40, "0x%" PRIx64, id);
	return text;
}

static int list_regs(struct vcpu *vcpu, struct kvm_reg_list **out, struct err *err)
{
	struct kvm_reg_list probe = {.n = 0}, *list;

	if (ioctl(vcpu->fd, KVM_GET_REG_LIST, &probe) == 0 || errno != E2BIG || probe.n > MAX_REGS)
		return err_set(err, -EPROTO, "vcpu %u: KVM lists %llu registers", vcpu->index,
			       (unsigned long long)probe.n);
	list = calloc(1, sizeof(*list) + probe.n * sizeof(list->reg[0]));
	if (!list)
		return err_set(err, -ENOMEM, "no memory for a list of registers");
	list->n = probe.n;
	if (ioctl(vcpu->fd, KVM_GET_REG_LIST, list) < 0) {
		int rc = -errno;

		free(list);
		return err_sys(err, rc, "vcpu %u: list of registers", vcpu->index);
	}
	qsort(list->reg, list->n, sizeof(list->reg[0]), compare_ids);
	*out = list;
	return 0;
}

static int get_reg(struct vcpu *vcpu, struct reg_value *value)
{
	struct kvm_one_reg reg = {.id = value->id, .addr = (uintptr_t)value->bytes};

	value->size = reg_size(value->id);
	return ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg) < 0 ? -errno : 0;
}

static int save_regs(struct vcpu *vcpu, struct wbuf *out, struct err *err)
{
	struct kvm_reg_list *list = NULL;
	int rc = list_regs(vcpu, &list, err);

	if (rc)
		return rc;
	wbuf_u32(out, list->n);
	for (uint64_t i = 0; i < list->n && !rc; i++) {
		struct reg_value value = {.id = list->reg[i]};

		rc = reg_size(value.id) > sizeof(value.bytes) ? -E2BIG : get_reg(vcpu, &value);
		if (rc)
			err_sys(err, rc, "vcpu %u: register 0x%" PRIx64, vcpu->index, value.id);
		wbuf_u64(out, value.id);
		wbuf_bytes(out, value.bytes, value.size);
	}
	free(list);
	return rc;
}

int vcpu_state_save(struct vcpu *vcpu, struct wbuf *out, struct err *err)
{
	struct kvm_vcpu_events events = {0};
	struct kvm_mp_state mp = {0};

	if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return err_sys(err, -errno, "vcpu %u: state", vcpu->index);
	wbuf_u32(out, mp.mp_state);
	wbuf_u8(out, events.exception.serror_pending);
	wbuf_u8(out, events.exception.serror_has_esr);
	wbuf_u8(out, events.exception.ext_dabt_pending);
	wbuf_u64(out, events.exception.serror_esr);
	return save_regs(vcpu, out, err);
}

static int decode_reg(struct rbuf *in, struct reg_value *value, uint64_t after)
{
	value->id = rbuf_u64(in);
	if (in->error || (value->id & KVM_REG_ARCH_MASK) != KVM_REG_ARM64 || value->id <= after)
		return -EBADMSG;
	if (reg_size(value->id) > sizeof(value->bytes))
		return -EBADMSG;
	value->size = reg_size(value->id);
	rbuf_bytes(in, value->bytes, value->size);
	return in->error;
}

int vcpu_state_decode(struct rbuf *in, struct vcpu_state *state, struct err *err)
{
	uint64_t after = 0;
	uint32_t n;

	memset(state, 0, sizeof(*state));
	state->mp_state = rbuf_u32(in);
	state->serror_pending = rbuf_u8(in);
	state->serror_has_esr = rbuf_u8(in);
	state->ext_dabt_pending = rbuf_u8(in);
	state->serror_esr = rbuf_u64(in);
	n = rbuf_u32(in);
	if (in->error || !n || n > MAX_REGS ||
	    (state->mp_state != KVM_MP_STATE_RUNNABLE && state->mp_state != KVM_MP_STATE_STOPPED))
		return err_set(err, -EBADMSG, "malformed");
	if (state->serror_pending > 1 || state->serror_has_esr > 1 || state->ext_dabt_pending > 1)
		return err_set(err, -EBADMSG, "malformed pending events");
	state->regs = calloc(n, sizeof(*state->regs));
	if (!state->regs)
		return err_set(err, -ENOMEM, "no memory for %u registers", n);
	for (state->nregs = 0; state->nregs < n; state->nregs++) {
		struct reg_value *value = &state->regs[state->nregs];

		if (decode_reg(in, value, after)) {
			vcpu_state_release(state);
			return err_set(err, -EBADMSG, "register %u of %u is malformed",
				       state->nregs, n);
		}
		after = value->id;
	}
	if (rbuf_done(in)) {
		vcpu_state_release(state);
		return err_set(err, -EBADMSG, "bytes are left over");
	}
	return 0;
}

static uint64_t value64(const struct reg_value *value)
{
	uint64_t v;

	memcpy(&v, value->bytes, sizeof(v));
	return v;
}

static const struct reg_value *find_reg(const struct vcpu_state *state, uint64_t id)
{
	for (uint32_t i = 0; i < state->nregs; i++)
		if (state->regs[i].id == id)
			return &state->regs[i];
	return NULL;
}

/*
 * A register that this kernel does not have, and that nobody will miss: the physical timer's (Linux 6.4) while that timer
 * is off, and whatever another kernel has and nobody wrote: it is at zero, or at KVM's pattern for "unknown at reset". (Linux
 * 6.12 lists PIR_EL1 and PIRE0_EL1 for CPUs that have none, at that pattern; 7.2 does not.)
 */
static bool may_lack(const struct vcpu_state *state, const struct reg_value *value)
{
	const struct reg_value *ctl = find_reg(state, KVM_REG_ARM_PTIMER_CTL);

	if (value->id == KVM_REG_ARM_PTIMER_CTL || value->id == KVM_REG_ARM_PTIMER_CVAL)
		return !ctl || !(value64(ctl) & 1);
	if (value->size == sizeof(uint64_t) && value64(value) == RESET_UNKNOWN)
		return true;
	for (unsigned int i = 0; i < value->size; i++)
		if (value->bytes[i])
			return false;
	return true;
}

/* ID_*_EL1: op0 3, op1 0, CRn 0, CRm 1 to 7. */
static bool is_feature_id(uint64_t id)
{
	return (id & ~0x7full) == ARM64_SYS_REG(3, 0, 0, 0, 0) &&
	       (id >> KVM_REG_ARM64_SYSREG_CRM_SHIFT & 15) >= 1 &&
	       (id >> KVM_REG_ARM64_SYSREG_CRM_SHIFT & 15) <= 7;
}

/*
 * Fields of four bits that grow with the feature, 15 where it is missing or not an architecture's: what the guest was shown
 * is there, and perhaps more that it will not look for again.
 */
static bool host_has_all(uint64_t host, uint64_t guest)
{
	for (unsigned int shift = 0; shift < 64; shift += 4) {
		unsigned int has = host >> shift & 15, needs = guest >> shift & 15;

		if (has != needs && needs != 15 && (has == 15 || has < needs))
			return false;
	}
	return true;
}

/*
 * CCSIDR_EL1 by level, and CLIDR_EL1: sizes of caches, which kernels before 6.3 show as the host's and later ones make up.
 * Nothing but speed depends on them (what cache maintenance goes by is CTR_EL0).
 */
static bool is_cache_geometry(uint64_t id)
{
	return (id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM_DEMUX ||
	       id == ARM64_SYS_REG(3, 1, 0, 0, 1);
}

static int apply_reg(struct vcpu *vcpu, const struct vcpu_state *state,
		     const struct reg_value *value, struct err *err)
{
	struct kvm_one_reg reg = {.id = value->id, .addr = (uintptr_t)value->bytes};
	struct reg_value now = {.id = value->id};
	int rc = get_reg(vcpu, &now);
	char name[40];

	if (rc == -ENOENT && (is_cache_geometry(value->id) || may_lack(state, value)))
		return 0;
	if (rc == -ENOENT)
		return err_set(
			err, -EOPNOTSUPP,
			"vcpu %u: this kernel does not know register %s, which the guest uses",
			vcpu->index, reg_name(value->id, name));
	if (!rc && !memcmp(now.bytes, value->bytes, value->size))
		return 0;
	if (ioctl(vcpu->fd, KVM_SET_ONE_REG, &reg) == 0)
		return 0;
	rc = errno;
	if (is_cache_geometry(value->id))
		return 0;
	if (is_feature_id(value->id) && host_has_all(value64(&now), value64(value)))
		return 0;
	if (value->size == sizeof(uint64_t))
		return err_set(err, -EOPNOTSUPP,
			       "vcpu %u: register %s is 0x%" PRIx64 ", this host has 0x%" PRIx64
			       " and cannot set it: %s",
			       vcpu->index, reg_name(value->id, name), value64(value),
			       value64(&now), strerror(rc));
	return err_sys(err, rc == EINVAL ? -EOPNOTSUPP : -rc,
		       "vcpu %u: register %s differs on this host and cannot be set", vcpu->index,
		       reg_name(value->id, name));
}

/* Firmware registers first: they decide what the others may be (PSCI version, hypercalls). */
static int apply_regs(struct vcpu *vcpu, const struct vcpu_state *state, bool firmware,
		      struct wbuf *reasons)
{
	int refused = 0;

	for (uint32_t i = 0; i < state->nregs; i++) {
		const struct reg_value *value = &state->regs[i];
		struct err why = ERR_INIT;

		if (is_counter(value->id) || is_build_time(value->id) ||
		    is_firmware(value->id) != firmware)
			continue;
		if (apply_reg(vcpu, state, value, &why)) {
			state_refused(reasons, &why);
			refused = -EOPNOTSUPP;
		}
	}
	return refused;
}

/*
 * What each kernel has that can run this machine: general registers, those of vectors, those of tags. Others may come with a
 * newer kernel, and then are as at reset to a guest that has never seen them.
 */
static bool is_always_there(const struct vcpu *vcpu, uint64_t id)
{
	uint64_t group = id & KVM_REG_ARM_COPROC_MASK;

	if (group == KVM_REG_ARM_CORE || group == KVM_REG_ARM64_SVE)
		return true;
	return vcpu->vm->config.mte &&
	       (id == RGSR_EL1 || id == GCR_EL1 || id == TFSR_EL1 || id == TFSRE0_EL1);
}

/* A register that this host has and the file has not would be what it is at reset: a guest would run on wrong values. */
static int refuse_missing(struct vcpu *vcpu, const struct vcpu_state *state, struct wbuf *reasons,
			  struct err *err)
{
	struct kvm_reg_list *list = NULL;
	int rc = list_regs(vcpu, &list, err);

	for (uint64_t i = 0; !rc && i < list->n; i++) {
		struct err why = ERR_INIT;
		char name[40];

		if (!is_always_there(vcpu, list->reg[i]) || find_reg(state, list->reg[i]))
			continue;
		err_set(&why, -EOPNOTSUPP, "vcpu %u: register %s is missing from the saved state",
			vcpu->index, reg_name(list->reg[i], name));
		state_refused(reasons, &why);
		rc = -EOPNOTSUPP;
		break;
	}
	free(list);
	return rc;
}

int vcpu_state_apply(struct vcpu *vcpu, const struct vcpu_state *state, struct wbuf *reasons,
		     struct err *err)
{
	struct kvm_mp_state mp = {.mp_state = state->mp_state};
	struct kvm_vcpu_events events = {0};
	int rc = refuse_missing(vcpu, state, reasons, err), firmware;

	if (rc)
		return rc;
	firmware = apply_regs(vcpu, state, true, reasons);
	rc = apply_regs(vcpu, state, false, reasons);
	if (firmware || rc)
		return -EOPNOTSUPP;
	events.exception.serror_pending = state->serror_pending;
	events.exception.serror_has_esr = state->serror_has_esr;
	events.exception.ext_dabt_pending = state->ext_dabt_pending;
	events.exception.serror_esr = state->serror_esr;
	if (ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events) < 0 ||
	    ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp) < 0)
		return err_sys(err, -errno, "vcpu %u: state", vcpu->index);
	return 0;
}

void vcpu_state_release(struct vcpu_state *state)
{
	free(state->regs);
	state->regs = NULL;
	state->nregs = 0;
}
