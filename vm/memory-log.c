/* SPDX-License-Identifier: GPL-2.0-only */
#include "vm/memory-log.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

struct log_bank {
	uint64_t pages, words;
	bool by_kvm;	   /* its slot has a log */
	uint64_t *kvm;	   /* as fetched: what clearing asks for */
	uint64_t *own;	   /* atomically: what we write */
	uint64_t *told;	   /* of those, told once already */
	uint64_t *fetched; /* the union */
};

struct mem_log {
	struct log_bank bank[MEM_MAX_BANKS];
};

void mem_log_mark(struct mem_log *log, unsigned int bank, uint64_t off, uint64_t len,
		  size_t page_size)
{
	for (uint64_t page = off / page_size; page <= (off + len - 1) / page_size; page++)
		__atomic_fetch_or(&log->bank[bank].own[page / 64], 1ull << page % 64,
				  __ATOMIC_RELAXED);
}

static int set_flags(const struct mem *mem, unsigned int i, uint32_t flags)
{
	const struct mem_bank *bank = &mem->banks[i];
	struct kvm_userspace_memory_region region = {
		.slot = i,
		.flags = flags,
		.guest_phys_addr = bank->spec.gpa,
		.memory_size = bank->spec.size,
		.userspace_addr = (uintptr_t)bank->host,
	};

	return ioctl(mem->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static void fill(const struct log_bank *b, uint64_t *bits)
{
	memset(bits, 0xff, b->words * 8);
	if (b->pages % 64)
		bits[b->words - 1] = (1ull << b->pages % 64) - 1;
}

static int open_bank(struct mem *mem, struct mem_log *log, unsigned int i, struct err *err)
{
	struct log_bank *b = &log->bank[i];
	int rc = 0;

	b->pages = mem->banks[i].spec.size / mem->page_size;
	b->words = (b->pages + 63) / 64;
	b->kvm = calloc(b->words, 8);
	b->own = calloc(b->words, 8);
	b->told = calloc(b->words, 8);
	b->fetched = calloc(b->words, 8);
	if (!b->kvm || !b->own || !b->told || !b->fetched)
		return err_set(err, -ENOMEM, "no memory for a log of written pages");
	/* A guest's write to a read-only slot is an MMIO exit. */
	if (mem->vm_fd >= 0 && !mem->banks[i].spec.readonly) {
		rc = set_flags(mem, i, KVM_MEM_LOG_DIRTY_PAGES);
		b->by_kvm = !rc;
	}
	/* A log of KVM's starts full; where there is none, this stands for it. */
	if (!b->by_kvm)
		fill(b, b->kvm);
	return rc ? err_sys(err, rc, "%s: KVM cannot log its written pages",
			    mem->banks[i].spec.name)
		  : 0;
}

int mem_log_start(struct mem *mem, struct err *err)
{
	struct kvm_enable_cap manual = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = {KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET},
	};
	struct mem_log *log;
	int rc = 0;

	if (mem->vm_fd >= 0 && ioctl(mem->vm_fd, KVM_ENABLE_CAP, &manual) < 0)
		return err_sys(err, -errno, "KVM's log of written pages");
	log = calloc(1, sizeof(*log));
	if (!log)
		return err_set(err, -ENOMEM, "no memory for a log of written pages");
	mem->log = log;
	for (unsigned int i = 0; i < mem->n && !rc; i++)
		rc = open_bank(mem, log, i, err);
	if (rc)
		mem_log_stop(mem);
	return rc;
}

void mem_log_stop(struct mem *mem)
{
	struct mem_log *log = mem->log;

	mem->log = NULL;
	for (unsigned int i = 0; log && i < mem->n; i++) {
		struct log_bank *b = &log->bank[i];

		/* Nothing is wrong with a log that stays on but its cost. */
		if (b->by_kvm && mem->vm_fd >= 0)
			(void)set_flags(mem, i, 0);
		free(b->kvm);
		free(b->own);
		free(b->told);
		free(b->fetched);
	}
	free(log);
}

int mem_log_fetch(struct mem *mem, unsigned int bank, bool last, struct err *err)
{
	struct log_bank *b = &mem->log->bank[bank];
	struct kvm_dirty_log get = {.slot = bank, .dirty_bitmap = b->kvm};

	if (b->by_kvm && ioctl(mem->vm_fd, KVM_GET_DIRTY_LOG, &get) < 0)
		return err_sys(err, -errno, "%s: KVM's log of written pages",
			       mem->banks[bank].spec.name);
	for (uint64_t i = 0; i < b->words; i++) {
		uint64_t own = __atomic_load_n(&b->own[i], __ATOMIC_RELAXED);

		b->fetched[i] = b->kvm[i] | (last ? own : own & ~b->told[i]);
	}
	return 0;
}

uint64_t mem_log_words(const struct mem *mem, unsigned int bank)
{
	return mem->log->bank[bank].words;
}

uint64_t mem_log_word(const struct mem *mem, unsigned int bank, uint64_t word)
{
	const struct log_bank *b = &mem->log->bank[bank];

	return word < b->words ? b->fetched[word] : 0;
}

uint64_t mem_log_count(const struct mem *mem, unsigned int bank)
{
	const struct log_bank *b = &mem->log->bank[bank];
	uint64_t n = 0;

	for (uint64_t i = 0; i < b->words; i++)
		n += (uint64_t)__builtin_popcountll(b->fetched[i]);
	return n;
}

int mem_log_clear(struct mem *mem, unsigned int bank, uint64_t word, struct err *err)
{
	struct log_bank *b = &mem->log->bank[bank];
	uint64_t first = word * 64, pages = MEM_LOG_CLEAR_WORDS * 64ull, any = 0;
	struct kvm_clear_dirty_log clear = {
		.slot = bank,
		.first_page = first,
		.dirty_bitmap = b->kvm + word,
	};

	if (pages > b->pages - first)
		pages = b->pages - first;
	for (uint64_t i = word; i < word + (pages + 63) / 64; i++) {
		b->told[i] |= b->fetched[i] & __atomic_load_n(&b->own[i], __ATOMIC_RELAXED);
		any |= b->kvm[i];
	}
	clear.num_pages = (uint32_t)pages;
	if (!b->by_kvm)
		memset(b->kvm + word, 0, (pages + 63) / 64 * 8);
	if (b->by_kvm && any && ioctl(mem->vm_fd, KVM_CLEAR_DIRTY_LOG, &clear) < 0)
		return err_sys(err, -errno, "%s: KVM's log of written pages",
			       mem->banks[bank].spec.name);
	return 0;
}
