/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bank whose content comes while the guest runs. Its memfd is mapped twice: the guest's mapping, where every page that is
 * missing makes whoever touches it wait (userfaultfd(2)), and a second one, in which a page gets its data and its tags
 * before anybody can see it. mem_lazy_show() then puts it into the guest's mapping: at once, with both.
 *
 * Order: mem_lazy_open() before anything is started; mem_add() of a bank of MEM_LAZY; mem_lazy_begin() before anybody has
 * touched it; then one thread serves: mem_lazy_faults(), mem_lazy_ptr(), mem_lazy_show(); mem_lazy_complete() when all
 * content is in the memfd; mem_lazy_end() when that thread is gone. The server makes no call of KVM's, takes no lock that
 * somebody may hold who touches guest memory, and never touches the guest's mapping: each would wait for itself.
 *
 * The descriptor must outlive the use of the memory: when it is closed, the kernel gives zeroes for what is missing. So
 * before mem_lazy_complete() it is closed only when no vCPU can run any more.
 */
#ifndef LKVM_VM_MEMORY_LAZY_H
#define LKVM_VM_MEMORY_LAZY_H

#include <stdint.h>

#include "util/err.h"
#include "vm/memory.h"

#define MEM_LAZY_FAULTS 16

/*
 * A userfaultfd for faults of KVM too. -EPERM and a text that names the ways out, -EOPNOTSUPP for kernels before 5.14.
 * @what: the option that asks for it. The caller closes it.
 */
int mem_lazy_open(const char *what, int *fd, struct err *err);

/* Loop thread. */
int mem_lazy_begin(struct mem *mem, uint32_t bank, int fd, struct err *err);
/* After this nothing waits any more, and what was not shown is zero, in data and tags. The memory stays. */
void mem_lazy_end(struct mem *mem, uint32_t bank, int fd);

/*
 * Faults that wait, as offsets within the bank: their number, 0 if there is none now, or a negative errno. The same page
 * may come more than once.
 */
int mem_lazy_faults(const struct mem *mem, uint32_t bank, int fd, uint64_t offsets[MEM_LAZY_FAULTS],
		    struct err *err);

/* @len bytes at @off in the second mapping, or NULL where that is not within the bank. */
uint8_t *mem_lazy_ptr(const struct mem *mem, uint32_t bank, uint64_t off, uint64_t len);

/* Whole pages that have their content: the guest sees them from now on. Pages that it sees already stay as they are. */
int mem_lazy_show(const struct mem *mem, uint32_t bank, int fd, uint64_t off, uint64_t len,
		  struct err *err);

/* The page at @off with what it has by now; zero, tags too, if nobody gave it a content, or somebody discarded it. */
int mem_lazy_show_rest(const struct mem *mem, uint32_t bank, int fd, uint64_t off, struct err *err);

/* The second mapping has nothing there any more. Before anybody has seen it. */
int mem_lazy_drop(const struct mem *mem, uint32_t bank, uint64_t off, uint64_t len,
		  struct err *err);

/* All content is in the memfd: from now on the kernel serves every fault by itself, with zeroes where nothing is. */
int mem_lazy_complete(const struct mem *mem, uint32_t bank, int fd, struct err *err);

#endif
