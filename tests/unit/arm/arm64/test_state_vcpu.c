/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State of a vCPU: saved from a KVM that is made up (ioctl() is wrapped), decoded, and given back to another one. What no guest
 * of the system tests can bring about is here: an SError that is pending, an external abort, a file without a register.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../../../tap.h"
#include "arm/state.h"
#include "vm/vm.h"

#define VCPU_FD	 7
#define CORE(at) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | (at))
#define RGSR	 ARM64_SYS_REG(3, 0, 1, 0, 5)
#define GCR	 ARM64_SYS_REG(3, 0, 1, 0, 6)
#define TFSR	 ARM64_SYS_REG(3, 0, 5, 6, 0)
#define TFSRE0	 ARM64_SYS_REG(3, 0, 5, 6, 1)
#define VBAR	 ARM64_SYS_REG(3, 0, 12, 0, 0)
#define NEWER	 ARM64_SYS_REG(3, 0, 15, 0, 0)

/* In the order that KVM lists them: not sorted. */
static const uint64_t all[] = {TFSRE0, CORE(0), RGSR, CORE(2), GCR, VBAR, TFSR};
#define ALL (sizeof(all) / sizeof(all[0]))

/* The KVM that answers: one register may be unknown to it, or be one more. */
static struct {
	uint64_t values[ALL];
	uint64_t lacks, more;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	unsigned int at,
		events_at; /* which write was the last of the registers, and which the events */
} fake;

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

void state_refused(struct wbuf *reasons, const struct err *why)
{
	wbuf_bytes(reasons, why->msg, strlen(why->msg));
	wbuf_bytes(reasons, "\n", 1);
}

static int list(struct kvm_reg_list *out)
{
	uint64_t n = 0, room = out->n;

	for (size_t i = 0; i < ALL; i++) {
		if (all[i] == fake.lacks)
			continue;
		if (n < room)
			out->reg[n] = all[i];
		n++;
	}
	if (fake.more && n++ < room)
		out->reg[n - 1] = fake.more;
	out->n = n;
	if (n <= room)
		return 0;
	errno = E2BIG;
	return -1;
}

static int one(const struct kvm_one_reg *reg, bool set)
{
	for (size_t i = 0; i < ALL; i++) {
		if (all[i] != reg->id || reg->id == fake.lacks)
			continue;
		if (set)
			fake.at++;
		if (set)
			memcpy(&fake.values[i], (void *)(uintptr_t)reg->addr, 8);
		else
			memcpy((void *)(uintptr_t)reg->addr, &fake.values[i], 8);
		return 0;
	}
	errno = ENOENT;
	return -1;
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	if (fd != VCPU_FD)
		return __real_ioctl(fd, request, arg);
	switch (request) {
	case KVM_GET_REG_LIST:
		return list(arg);
	case KVM_GET_ONE_REG:
	case KVM_SET_ONE_REG:
		return one(arg, request == KVM_SET_ONE_REG);
	case KVM_GET_VCPU_EVENTS:
		*(struct kvm_vcpu_events *)arg = fake.events;
		return 0;
	case KVM_SET_VCPU_EVENTS:
		fake.events = *(struct kvm_vcpu_events *)arg;
		fake.events_at = fake.at;
		return 0;
	case KVM_GET_MP_STATE:
		*(struct kvm_mp_state *)arg = fake.mp;
		return 0;
	case KVM_SET_MP_STATE:
		fake.mp = *(struct kvm_mp_state *)arg;
		return 0;
	}
	errno = EINVAL;
	return -1;
}

static struct vm *machine(bool mte)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (vm)
		vm->vcpus = calloc(1, sizeof(*vm->vcpus));
	if (!vm || !vm->vcpus)
		abort();
	vm->config.mte = mte;
	vm->vcpus->vm = vm;
	vm->vcpus->fd = VCPU_FD;
	return vm;
}

static void discard(struct vm *vm)
{
	free(vm->vcpus);
	free(vm);
}

/* Saves, with register @lacking left out of it (0: none). */
static struct wbuf saved(struct vm *vm, uint64_t lacking)
{
	struct err err = ERR_INIT;
	struct wbuf out;

	fake.lacks = lacking;
	wbuf_init(&out, 4096);
	if (vcpu_state_save(vm->vcpus, &out, &err))
		abort();
	fake.lacks = 0;
	return out;
}

/* Into a KVM that is at reset. */
static int restored(struct vm *vm, const struct wbuf *from, struct wbuf *reasons)
{
	struct err err = ERR_INIT;
	struct vcpu_state state;
	struct rbuf in;
	int rc;

	memset(fake.values, 0, sizeof(fake.values));
	memset(&fake.events, 0, sizeof(fake.events));
	fake.at = fake.events_at = 0;
	rbuf_init(&in, from->data, from->len);
	rc = vcpu_state_decode(&in, &state, &err);
	if (rc)
		return rc;
	wbuf_init(reasons, 4096);
	rc = vcpu_state_apply(vm->vcpus, &state, reasons, &err);
	vcpu_state_release(&state);
	return rc;
}

static void fill(void)
{
	for (size_t i = 0; i < ALL; i++)
		fake.values[i] = (i + 1) * 0x0101010101010101ull;
}

static void whole(struct tap *tap)
{
	struct vm *vm = machine(true);
	struct wbuf out, reasons;
	bool same = true;

	fill();
	memset(&fake.events, 0, sizeof(fake.events));
	fake.events.exception.serror_pending = 1;
	fake.events.exception.serror_has_esr = 1;
	fake.events.exception.serror_esr = 0x1234;
	fake.events.exception.ext_dabt_pending = 1;
	fake.mp.mp_state = KVM_MP_STATE_STOPPED;
	out = saved(vm, 0);
	fake.mp.mp_state = KVM_MP_STATE_RUNNABLE;
	tap_ok(tap, !restored(vm, &out, &reasons), "a vCPU goes from one KVM into another");
	for (size_t i = 0; i < ALL; i++)
		same = same && fake.values[i] == (i + 1) * 0x0101010101010101ull;
	tap_ok(tap, same, "with all registers");
	tap_ok(tap, fake.mp.mp_state == KVM_MP_STATE_STOPPED, "it is off");
	tap_ok(tap,
	       fake.events.exception.serror_pending && fake.events.exception.serror_has_esr &&
		       fake.events.exception.serror_esr == 0x1234,
	       "an SError that was pending is pending, with its syndrome");
	tap_ok(tap, fake.events.exception.ext_dabt_pending, "and an external abort");
	tap_ok(tap, fake.events_at == fake.at && fake.at == ALL, "events come after all registers");
	wbuf_release(&reasons);
	wbuf_release(&out);
	discard(vm);
}

/* What a KVM that knows register @more as well (0: none) says of a file that lacks one; "" if it is taken. */
static const char *without(bool mte, uint64_t lacking, uint64_t more)
{
	static char said[256];
	struct vm *vm = machine(mte);
	struct wbuf out, reasons;
	int rc;

	fill();
	memset(&fake.events, 0, sizeof(fake.events));
	out = saved(vm, lacking);
	fake.more = more;
	rc = restored(vm, &out, &reasons);
	fake.more = 0;
	snprintf(said, sizeof(said), "%.*s", (int)reasons.len, (const char *)reasons.data);
	if (rc && !said[0])
		snprintf(said, sizeof(said), "%d without a reason", rc);
	if (rc && fake.at)
		snprintf(said, sizeof(said), "refused after %u registers were set", fake.at);
	wbuf_release(&reasons);
	wbuf_release(&out);
	discard(vm);
	return said;
}

static void missing(struct tap *tap)
{
	static const struct {
		uint64_t id;
		const char *name;
	} mte[] = {
		{RGSR, "RGSR_EL1"}, {GCR, "GCR_EL1"}, {TFSR, "TFSR_EL1"}, {TFSRE0, "TFSRE0_EL1"}};

	for (size_t i = 0; i < 4; i++) {
		char text[80];

		snprintf(text, sizeof(text),
			 "vcpu 0: register %s is missing from the saved state\n", mte[i].name);
		tap_ok(tap, !strcmp(without(true, mte[i].id, 0), text),
		       "MTE, and no %s in the file: refused", mte[i].name);
		tap_ok(tap, !without(false, mte[i].id, 0)[0], "without MTE nobody misses it");
	}
	tap_ok(tap, strstr(without(false, CORE(2), 0), "0x6030000000100002 is missing"),
	       "a general register is not in the file: refused");
	tap_ok(tap, !without(true, VBAR, 0)[0],
	       "another is as at reset: an older kernel may not have listed it");
	tap_ok(tap, !without(true, 0, NEWER)[0], "so is one that only this kernel has");
}

int main(void)
{
	struct tap tap = {0};

	whole(&tap);
	missing(&tap);
	return tap_end(&tap);
}
