/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU: one KVM descriptor, one thread, one loop.
 *
 * A thread leaves KVM_RUN for good reasons only: an exit, or a kick. A kick sets run->immediate_exit and sends
 * VCPU_SIGNAL, so that it is not lost between two calls (Documentation/virt/kvm/api.rst, struct kvm_run). The thread
 * looks at what is asked of it only when KVM_RUN returned EINTR: by then the last MMIO exit has been completed, and
 * its registers can be read.
 */
#ifndef LKVM_VM_VCPU_H
#define LKVM_VM_VCPU_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#define VCPU_SIGNAL SIGRTMIN

struct vm;
struct kvm_run;

enum vcpu_count {
	COUNT_RUN,	 /* KVM_RUN calls */
	COUNT_MMIO,	 /* trapped accesses */
	COUNT_INTERRUPT, /* left by a signal */
	COUNT_OTHER,
	COUNT_KINDS
};

struct vcpu {
	struct vm *vm;
	uint32_t index; /* also KVM's vcpu id */
	int fd;
	struct kvm_run *run; /* shared with the kernel */
	pthread_t thread;
	bool started;		      /* thread exists; guarded by vm->lock */
	uint64_t counts[COUNT_KINDS]; /* written by the thread alone; read with vcpu_count() */
};

/* Creates descriptor and run area; registers are the architecture's (arch_vcpu_init). */
int vcpu_create(struct vcpu *vcpu, struct vm *vm, uint32_t index, struct err *err);
void vcpu_release(struct vcpu *vcpu); /* thread must have ended */

/* Starts the thread; it parks at once if the VM is paused. */
int vcpu_start(struct vcpu *vcpu, struct err *err);

/* Makes the thread leave KVM_RUN soon. vm->lock held. */
void vcpu_kick(struct vcpu *vcpu);

uint64_t vcpu_count(const struct vcpu *vcpu, enum vcpu_count kind);

#endif
