/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory tagging for the guest: what the host must have, proof that its tags work, and KVM's switch.
 * Documentation/virt/kvm/api.rst (KVM_CAP_ARM_MTE), Arm ARM D10 "Memory Tagging Extension".
 */
#ifndef LKVM_ARM_MTE_H
#define LKVM_ARM_MTE_H

#include "arm/tags.h"
#include "util/err.h"
#include "vm/memory.h"

struct vm;

/* The mmap protection bit of mappings that hold tags. */
int mte_prot(void);

/*
 * Refuses a host that cannot give a guest working tags, with the reason and the way out: CPU or kernel without MTE,
 * KVM without the capability, tags that do not stay where they are written (an emulator older than QEMU 8).
 */
int mte_check_host(int kvm_fd, struct err *err);

/*
 * The tags of guest memory as the bytes that travel beside a page (vm/memory.h). @tags must stay put while it is in use. KVM
 * writes no tags to read-only slots: those are written by instructions in both ways.
 */
struct mte_tags {
	struct tag_walker walker;
	const struct mem *mem;
	struct mem_sidecar sidecar;
};

int mte_sidecar(struct mte_tags *tags, enum tag_way way, const struct mem *mem, struct err *err);

/* On the VM, after KVM_CREATE_VM and before any vCPU and any memory slot. */
int mte_enable(int vm_fd, struct err *err);

#endif
