/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The architecture's part of saved state: which records there are, and the order in which KVM takes them back. What KVM can
 * refuse comes before RAM is loaded; what makes it look into RAM, where the controllers' tables are, comes after.
 */
#include "arm/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arm/machine.h"
#include "state/record.h"
#include "vm/vm.h"

struct arch_state {
	struct vm *vm;
	struct vcpu_state *vcpus; /* config.cpus of them */
	struct gic_state gic, its;
	struct clock_state clock;
	bool have_gic, have_its, have_clock;
};

void state_refused(struct wbuf *reasons, const struct err *why)
{
	wbuf_bytes(reasons, why->msg, strlen(why->msg));
	wbuf_bytes(reasons, "\n", 1);
}

static int save_vcpus(struct vm *vm, struct wbuf *out, struct err *err)
{
	int rc = 0;

	for (uint32_t i = 0; i < vm->config.cpus && !rc; i++) {
		size_t at = record_begin(out, RECORD_VCPU, STATE_VERSION, RECORD_MUST, i);

		rc = vcpu_state_save(&vm->vcpus[i], out, err);
		record_end(out, at);
	}
	return rc;
}

int arch_state_save(struct vm *vm, struct wbuf *out, struct err *err)
{
	const struct gic *gic = &vm->machine->gic;
	size_t at;
	int rc = save_vcpus(vm, out, err);

	if (rc)
		return rc;
	at = record_begin(out, RECORD_GIC, STATE_VERSION, RECORD_MUST, 0);
	rc = gic_state_save(vm, gic, out, err);
	record_end(out, at);
	if (!rc && gic->its_fd >= 0) {
		at = record_begin(out, RECORD_ITS, STATE_VERSION, RECORD_MUST, 0);
		rc = its_state_save(gic, out, err);
		record_end(out, at);
	}
	if (rc) {
		err_prefix(err, "interrupt controller");
		return rc;
	}
	at = record_begin(out, RECORD_CLOCK, STATE_VERSION, RECORD_MUST, 0);
	rc = clock_state_save(vm, out, err);
	record_end(out, at);
	return rc;
}

int arch_state_begin(struct vm *vm, struct arch_state **out, struct err *err)
{
	struct arch_state *state = calloc(1, sizeof(*state));

	if (state)
		state->vcpus = calloc(vm->config.cpus, sizeof(*state->vcpus));
	if (!state || !state->vcpus) {
		free(state);
		return err_set(err, -ENOMEM, "no memory for the state of %u vCPUs",
			       vm->config.cpus);
	}
	state->vm = vm;
	*out = state;
	return 0;
}

static int load_vcpu(struct arch_state *state, const struct record *rec, struct rbuf *in,
		     struct err *err)
{
	if (rec->instance >= state->vm->config.cpus)
		return err_set(err, -EBADMSG, "the machine has %u", state->vm->config.cpus);
	if (state->vcpus[rec->instance].nregs)
		return err_set(err, -EBADMSG, "it is there twice");
	return vcpu_state_decode(in, &state->vcpus[rec->instance], err);
}

static int load_once(bool *have, struct err *err)
{
	if (*have)
		return err_set(err, -EBADMSG, "it is there twice");
	*have = true;
	return 0;
}

int arch_state_load(struct arch_state *state, const struct record *rec, struct err *err)
{
	const struct gic *gic = &state->vm->machine->gic;
	struct rbuf in = rec->payload;
	int rc = -ENOENT;

	if (rec->version != STATE_VERSION)
		rc = err_set(err, -EOPNOTSUPP, "version %u, this program knows %d", rec->version,
			     STATE_VERSION);
	else if (rec->type == RECORD_VCPU)
		rc = load_vcpu(state, rec, &in, err);
	else if (rec->type == RECORD_GIC)
		rc = load_once(&state->have_gic, err)
			     ?: gic_state_decode(&in, state->vm, gic, &state->gic, err);
	else if (rec->type == RECORD_ITS && gic->its_fd < 0)
		rc = err_set(err, -EOPNOTSUPP, "this machine has no ITS");
	else if (rec->type == RECORD_ITS)
		rc = load_once(&state->have_its, err) ?: its_state_decode(&in, &state->its, err);
	else if (rec->type == RECORD_CLOCK)
		rc = load_once(&state->have_clock, err)
			     ?: clock_state_decode(&in, &state->clock, err);
	if (rc)
		err_prefix(err, "record %s %u at offset %llu", record_type_name(rec->type),
			   rec->instance, (unsigned long long)rec->offset);
	return rc;
}

static int check_complete(const struct arch_state *state, struct err *err)
{
	const struct gic *gic = &state->vm->machine->gic;

	for (uint32_t i = 0; i < state->vm->config.cpus; i++)
		if (!state->vcpus[i].nregs)
			return err_set(err, -EBADMSG, "the record of vcpu %u is missing", i);
	if (!state->have_gic || !state->have_clock || (gic->its_fd >= 0 && !state->have_its))
		return err_set(err, -EBADMSG, "the record of the %s is missing",
			       !state->have_gic	    ? "interrupt controller"
			       : !state->have_clock ? "clock"
						    : "ITS");
	return 0;
}

/* The distributor and redistributors after the vCPUs' affinity. What one vCPU is refused, the next would be too. */
int arch_state_prepare(struct arch_state *state, struct wbuf *reasons, struct err *err)
{
	struct vm *vm = state->vm;
	const struct gic *gic = &vm->machine->gic;
	int rc = check_complete(state, err), gic_rc;

	if (rc)
		return rc;
	for (uint32_t i = 0; i < vm->config.cpus && !rc; i++)
		rc = vcpu_state_apply(&vm->vcpus[i], &state->vcpus[i], reasons, err);
	if (rc && rc != -EOPNOTSUPP)
		return rc;
	gic_rc = gic_state_apply(gic, &state->gic, reasons);
	if (!gic_rc && gic->its_fd >= 0)
		gic_rc = its_state_apply(gic, &state->its, reasons);
	return rc ? rc : gic_rc;
}

/*
 * The counter as late as can be: a guest whose time stood still does not lose the time that its RAM took. The ITS last, whose
 * tables refer to redistributors.
 */
int arch_state_commit(struct arch_state *state, bool clock_advance, uint64_t *away_ns,
		      struct err *err)
{
	struct vm *vm = state->vm;
	const struct gic *gic = &vm->machine->gic;
	int rc = gic_state_start(gic, &state->gic, err);

	if (!rc && gic->its_fd >= 0)
		rc = its_state_start(gic, &state->its, err);
	return rc ? rc : clock_state_apply(vm, &state->clock, clock_advance, away_ns, err);
}

void arch_state_release(struct arch_state *state)
{
	for (uint32_t i = 0; i < state->vm->config.cpus; i++)
		vcpu_state_release(&state->vcpus[i]);
	gic_state_release(&state->gic);
	gic_state_release(&state->its);
	free(state->vcpus);
	free(state);
}
