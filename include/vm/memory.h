/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory: banks, each one mapping of ours behind one KVM slot, and the one gate to them.
 *
 * The mappings belong to the process and outlive a reboot of the guest (a sealed mapping cannot be unmapped): the
 * first mem_add() of a name maps, a later one with a new VM empties the same mapping and registers it again.
 *
 * With memory tags every bank is mapped with PROT_MTE, whatever its use: in stage 2 a guest with MTE can map all of
 * it as Normal Tagged memory (Documentation/virt/kvm/api.rst, KVM_CAP_ARM_MTE), and without PROT_MTE we would read
 * the tags as zero.
 *
 * Order: mem_init(); for each boot mem_use_vm(), then mem_add() of each bank; mem_seal() once; mem_release().
 * Banks are added while the machine is built, on one thread; afterwards the table is constant.
 */
#ifndef LKVM_VM_MEMORY_H
#define LKVM_VM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#define MEM_MAX_BANKS 8

enum mem_backing {
	MEM_ANON,    /* private anonymous, transparent huge pages advised */
	MEM_MEMFD,   /* shared memfd, sealed against shrinking */
	MEM_HUGETLB, /* a file on a hugetlbfs mount */
	MEM_LAZY, /* memfd whose content may come while the guest runs (vm/memory-lazy.h); shared where KVM takes that */
};

enum mem_access { MEM_READ, MEM_WRITE };

/*
 * What belongs to each page beside its data and travels with it: memory tags. vm/ and migrate/ move it as bytes;
 * arm/mte.c knows what it is. Ranges are whole pages within one bank; a byte stands for 32 bytes of memory.
 */
struct mem_sidecar {
	int (*get)(void *ctx, uint8_t *host, uint64_t gpa, uint64_t len, uint8_t *out,
		   struct err *err);
	int (*put)(void *ctx, uint8_t *host, uint64_t gpa, uint64_t len, const uint8_t *in,
		   struct err *err);
	void *ctx;
};

struct mem_spec {
	const char *name; /* constant; "ram", "flash", "pvtime" */
	uint64_t gpa;	  /* page-aligned; RAM on VM_MEM_UNIT */
	uint64_t size;	  /* bytes, page-aligned */
	enum mem_backing backing;
	const char *hugetlbfs; /* mount point, for MEM_HUGETLB */
	bool readonly;	       /* a guest's write becomes an MMIO exit; ours is allowed */
};

struct mem_bank {
	struct mem_spec spec;
	uint8_t *host; /* nobody's but vm/memory*.c's and arm/mte.c's; others call gpa_ptr() */
	uint8_t *
		fill; /* MEM_LAZY while its content comes: the second mapping, for vm/memory*.c; else NULL */
	int fd;	      /* backing file or -1 */
	bool shared;  /* what is written to @host is written to the file */
	bool in_slot; /* registered with the present VM */
	bool sealed;
};

struct mem {
	struct mem_bank banks[MEM_MAX_BANKS]; /* slot number is the index */
	unsigned int n;
	int vm_fd;
	int tag_prot;  /* 0, or the mmap protection bit that gives memory tags (arm/mte.c) */
	int slot_tags; /* the guest has tags, whatever tag_prot is: for messages */
	const struct mem_sidecar *sidecar; /* or NULL: pages are only data */
	struct mem_log *log;	  /* of what is written (vm/memory-log.h), or NULL: nobody asks */
	size_t page_size;	  /* the host's */
	int pagemap;		  /* of the process whose fork this is, or -1 */
	_Atomic uint64_t missing; /* pages of a MEM_LAZY bank that are still to come */
};

int mem_init(struct mem *mem, struct err *err);
void mem_release(struct mem *mem);

/* A new VM: every bank is out of its slot until mem_add(). -1 when the VM is closed. */
void mem_use_vm(struct mem *mem, int vm_fd);

/*
 * Maps (or empties) and registers. The content is zero, and so are the tags. Errors name the bank, the reason and the
 * way out: shared memory that this kernel cannot tag, hugetlb likewise, no free huge pages, beyond the guest's
 * addresses.
 */
int mem_add(struct mem *mem, const struct mem_spec *spec, struct err *err);

/*
 * mseal(2) over each mapping, where the kernel has it (6.10): nothing in this process can map over, unmap or protect
 * guest memory again. Returns 1 if sealed, 0 if the kernel has no mseal.
 */
int mem_seal(struct mem *mem, struct err *err);

/*
 * The gate. A pointer to guest memory at @gpa, valid for @len bytes, or NULL if not all of them are in one bank.
 * @access says what for: KVM's dirty log does not see what the VMM writes. @len 0 is refused. The guest changes the
 * memory at any moment: copy first, then check. While a bank is filled, touching the memory may wait for its content:
 * never do it with a lock held that vm/memory-lazy.h's server needs.
 */
void *gpa_ptr(struct mem *mem, uint64_t gpa, uint64_t len, enum mem_access access);

/* The bank of that name, or NULL. */
const struct mem_bank *mem_find(const struct mem *mem, const char *name);

/* Whether a MEM_LAZY bank is being filled: nobody may count on more than what gpa_ptr() gives. Loop thread. */
bool mem_is_filling(const struct mem *mem);

/* Whether a fork of this process has a copy of all guest memory that nobody changes: no bank is shared. */
bool mem_is_private(const struct mem *mem);

/*
 * Whether a reboot empties files: what a fork has of private memory may still be in one (MEM_LAZY), and would be lost to it.
 */
bool mem_has_file(const struct mem *mem);

/* Which pages of a bank may hold something (vm/presence.h). */
struct presence;
int mem_presence(const struct mem *mem, const struct mem_bank *bank, struct presence *presence,
		 struct err *err);

/*
 * Around a fork whose child asks mem_presence(), and keeps mem->pagemap open for it: the table of a shared mapping is not
 * copied, so that without this all of a hugetlbfs bank would be absent there. The parent outlives the child's questions.
 */
int mem_before_fork(struct mem *mem, struct err *err);
void mem_after_fork(struct mem *mem); /* in the parent, also after an error */

/* The bank a host address lies in, and its guest address; for the fault handlers. Async-signal-safe. */
bool mem_host_to_gpa(const struct mem *mem, const void *host, uint64_t *gpa);

/*
 * Looks for what is wrong behind the slots after KVM_RUN failed with EFAULT: a hole, a foreign mapping, one without
 * tags, a file cut short (from /proc/self/smaps). Fills @text with a phrase that names the guest address.
 * Returns false when everything looks as it was made.
 */
bool mem_explain_fault(const struct mem *mem, char *text, size_t size);

#endif
