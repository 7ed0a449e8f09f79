/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs by architecture: all that vm/ asks of arm/. */
#ifndef LKVM_VM_ARCH_H
#define LKVM_VM_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"

struct vm;
struct vcpu;

/*
 * Builds the whole machine in vm: KVM's VM, memory, interrupt controller, vCPUs, devices, the loaded kernel and device
 * tree. The one way to do it, for boot and for restore. On error nothing of the machine is left.
 */
int arch_machine_build(struct vm *vm, struct err *err);
void arch_machine_release(struct vm *vm);

/*
 * An exit that vm/vcpu.c does not know. 0: go on. 1: the VM was told to end (vm_finish). Negative errno: it ends with the
 * text in @err.
 */
int arch_vcpu_exit(struct vcpu *vcpu, struct err *err);

/* Registers for `lkvm debug --dump`: each name once, value in hex digits, most significant first. VM paused. */
typedef void (*arch_reg_fn)(void *ctx, const char *name, const char *value);
int arch_vcpu_registers(struct vcpu *vcpu, arch_reg_fn emit, void *ctx, struct err *err);

/*
 * State of what the architecture owns: vCPUs, interrupt controller, counter. The VM is paused. Saving appends records
 * (state/record.h) to @out, and flushes the controller's tables into guest memory, so RAM is saved after it. Loading takes
 * the records one by one, in any order. arch_state_prepare() gives KVM all that it may refuse, registers above all: before
 * RAM is read, so that nobody waits for a refusal. arch_state_commit() gives it the rest, in the order that KVM wants, after
 * RAM is loaded: tables that are in it, and the clock. -EBADMSG for malformed ones, -EOPNOTSUPP where this host cannot take
 * them; the text names the record and the register.
 */
struct record;

struct arch_state;
int arch_state_save(struct vm *vm, struct wbuf *out, struct err *err);
int arch_state_begin(struct vm *vm, struct arch_state **out, struct err *err);
int arch_state_load(struct arch_state *state, const struct record *rec, struct err *err);
/* What KVM refuses is a line each in @reasons, and -EOPNOTSUPP without a text. */
int arch_state_prepare(struct arch_state *state, struct wbuf *reasons, struct err *err);
/* @away_ns: the real time that passed since it was saved, whether the guest's clock is to advance by it or not. */
int arch_state_commit(struct arch_state *state, bool clock_advance, uint64_t *away_ns,
		      struct err *err);
void arch_state_release(struct arch_state *state);

/*
 * Whether KVM moves the guest's tags from now on, or our own instructions do (the default): mem->sidecar gives the same bytes
 * either way. Without tags there is nothing to do.
 */
int arch_tags_by_kvm(struct vm *vm, bool kvm, struct err *err);

/*
 * What a host must have to run this machine: the payload of RECORD_COMPAT, and the comparison with this host, which
 * appends one line for each reason why not to @reasons. 0 or the number of reasons; -EBADMSG for a malformed record.
 */
int arch_compat_save(struct vm *vm, struct wbuf *out, struct err *err);
int arch_compat_check(int kvm_fd, struct rbuf *compat, struct wbuf *reasons, struct err *err);

/* Magic SysRq: break and key on the console. */
int arch_sysrq(struct vm *vm, char key, struct err *err);

#endif
