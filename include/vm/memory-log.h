/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which pages of guest memory were written since: KVM's dirty log for what the guest (tag stores included) and KVM itself
 * write, and a bitmap of our own for what this process writes through gpa_ptr(..., MEM_WRITE).
 *
 * Manual protect: fetching clears nothing. Who copies a range clears it first, then copies: a write in between is found
 * the next time (Documentation/virt/kvm/api.rst, KVM_CLEAR_DIRTY_LOG). In the beginning every page counts as written.
 *
 * gpa_ptr() marks before the write that it is asked for. So a page of our own stays marked: it is told once as soon as
 * possible and once more by the last fetch, for which the VM is paused and nobody is about to write.
 *
 * A bit stands for a host page; a word for 64 of them.
 */
#ifndef LKVM_VM_MEMORY_LOG_H
#define LKVM_VM_MEMORY_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/memory.h"

#define MEM_LOG_CLEAR_WORDS 16 /* what is cleared at a time: 1024 pages */

/* The VM is paused around both. Without a VM (vm_fd -1) only our own writes are seen. */
int mem_log_start(struct mem *mem, struct err *err);
void mem_log_stop(struct mem *mem);

/* What was written to the bank since it was cleared. @last: the VM is paused, and our own pages are told once more. */
int mem_log_fetch(struct mem *mem, unsigned int bank, bool last, struct err *err);
/* The fetched bits of word @word; 0 behind the bank's end. */
uint64_t mem_log_word(const struct mem *mem, unsigned int bank, uint64_t word);
uint64_t mem_log_words(const struct mem *mem, unsigned int bank);
uint64_t mem_log_count(const struct mem *mem, unsigned int bank); /* fetched bits that are set */
/* Writes to the fetched pages of MEM_LOG_CLEAR_WORDS words from @word on, a multiple of that, are noted anew from now on. */
int mem_log_clear(struct mem *mem, unsigned int bank, uint64_t word, struct err *err);

/* For gpa_ptr() alone. */
void mem_log_mark(struct mem_log *log, unsigned int bank, uint64_t off, uint64_t len,
		  size_t page_size);

#endif
