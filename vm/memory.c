/* SPDX-License-Identifier: GPL-2.0-only */
#include "vm/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vm/memory-log.h"
#include "vm/presence.h"

#ifndef SYS_mseal /* Linux 6.10, one number on all architectures */
#define SYS_mseal 462
#endif

#define HUGE_ALIGN 0x200000ull

int mem_init(struct mem *mem, struct err *err)
{
	long page = sysconf(_SC_PAGESIZE);

	memset(mem, 0, sizeof(*mem));
	mem->vm_fd = mem->pagemap = -1;
	if (page <= 0)
		return err_set(err, -ENOSYS, "the host tells no page size");
	mem->page_size = page;
	return 0;
}

void mem_release(struct mem *mem)
{
	while (mem->n) {
		struct mem_bank *bank = &mem->banks[--mem->n];

		/* A sealed mapping refuses: it goes with the process. */
		munmap(bank->host, bank->spec.size);
		if (bank->fd >= 0)
			close(bank->fd);
	}
}

void mem_use_vm(struct mem *mem, int vm_fd)
{
	mem->vm_fd = vm_fd;
	for (unsigned int i = 0; i < mem->n; i++)
		mem->banks[i].in_slot = false;
}

/*
 * Private anonymous memory whose host address is aligned as its guest address is: only then can a huge page back a
 * block of stage 2. NORESERVE: a guest's memory is a promise, as with any other process.
 */
static int map_anon(const struct mem *mem, struct mem_bank *bank, struct err *err)
{
	uint64_t size = bank->spec.size;
	uint64_t align = size >= HUGE_ALIGN ? HUGE_ALIGN : mem->page_size;
	uint64_t slack = align - mem->page_size;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uint8_t *area, *start;

	area = mmap(NULL, size + slack, PROT_NONE, flags, -1, 0);
	if (area == MAP_FAILED)
		return err_sys(err, -errno, "%s: no address space for %llu MiB", bank->spec.name,
			       (unsigned long long)size >> 20);
	start = (uint8_t *)(((uintptr_t)area + align - 1) & ~(uintptr_t)(align - 1));
	if (mmap(start, size, PROT_READ | PROT_WRITE | mem->tag_prot, flags | MAP_FIXED, -1, 0) ==
	    MAP_FAILED) {
		int rc = -errno;

		munmap(area, size + slack);
		return err_sys(err, rc, "%s: cannot map %llu MiB%s", bank->spec.name,
			       (unsigned long long)size >> 20,
			       mem->tag_prot ? " with memory tags" : "");
	}
	if (start > area)
		munmap(area, start - area);
	if (area + slack > start)
		munmap(start + size, area + slack - start);
	if (align == HUGE_ALIGN)
		madvise(start, size, MADV_HUGEPAGE); /* advice: a kernel without it does as well */
	bank->host = start;
	return 0;
}

static int map_file(const struct mem *mem, struct mem_bank *bank, struct err *err)
{
	void *host;

	if (ftruncate(bank->fd, bank->spec.size) < 0)
		return err_sys(err, -errno, "%s: cannot size its memory file", bank->spec.name);
	host = mmap(NULL, bank->spec.size, PROT_READ | PROT_WRITE | mem->tag_prot, MAP_SHARED,
		    bank->fd, 0);
	if (host != MAP_FAILED) {
		bank->host = host;
		bank->shared = true;
		return 0;
	}
	if (bank->spec.backing == MEM_HUGETLB && errno == EINVAL && mem->tag_prot)
		return err_set(
			err, -EINVAL,
			"--hugetlbfs: this kernel cannot tag huge pages of hugetlbfs (Linux 6.13 and later "
			"can); leave --hugetlbfs out, transparent huge pages carry tags");
	if (bank->spec.backing == MEM_HUGETLB && errno == ENOMEM)
		return err_set(
			err, -ENOMEM,
			"--hugetlbfs %s: not enough free huge pages for %llu MiB; add some in "
			"/sys/kernel/mm/hugepages or use a smaller -m",
			bank->spec.hugetlbfs, (unsigned long long)bank->spec.size >> 20);
	return err_sys(err, -errno, "%s: cannot map its memory file", bank->spec.name);
}

static int map_memfd(const struct mem *mem, struct mem_bank *bank, struct err *err)
{
	int rc;

	bank->fd = memfd_create("lkvm-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (bank->fd < 0)
		return err_sys(err, -errno, "%s: memfd", bank->spec.name);
	rc = map_file(mem, bank, err);
	/* A file cut short under a running guest takes its memory away. */
	if (!rc && fcntl(bank->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		rc = err_sys(err, -errno, "%s: cannot seal its memfd", bank->spec.name);
	return rc;
}

static int map_hugetlb(const struct mem *mem, struct mem_bank *bank, struct err *err)
{
	const char *dir = bank->spec.hugetlbfs;
	char path[4096];
	struct statfs fs;

	err->usage = true; /* up to the page size the folder is at fault, or the one who named it */
	if (statfs(dir, &fs) < 0)
		return err_sys(err, -errno, "--hugetlbfs %s", dir);
	if (fs.f_type != HUGETLBFS_MAGIC)
		return err_set(err, -EINVAL,
			       "--hugetlbfs %s: no hugetlbfs is mounted there (see /proc/mounts)",
			       dir);
	if (bank->spec.size % (uint64_t)fs.f_bsize)
		return err_set(err, -EINVAL,
			       "--hugetlbfs %s: -m is not a multiple of its page size, %llu MiB",
			       dir, (unsigned long long)fs.f_bsize >> 20);
	err->usage = false;
	if (snprintf(path, sizeof(path), "%s/lkvm-XXXXXX", dir) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "--hugetlbfs: path is too long");
	bank->fd = mkostemp(path, O_CLOEXEC);
	if (bank->fd < 0)
		return err_sys(err, -errno, "--hugetlbfs %s: cannot create a file", dir);
	unlink(path);
	return map_file(mem, bank, err);
}

static int map_bank(struct mem *mem, const struct mem_spec *spec, struct mem_bank **out,
		    struct err *err)
{
	struct mem_bank *bank = &mem->banks[mem->n];
	int rc;

	if (mem->n == MEM_MAX_BANKS)
		return err_set(err, -ENOSPC, "%s: more than %d memory banks", spec->name,
			       MEM_MAX_BANKS);
	memset(bank, 0, sizeof(*bank));
	bank->spec = *spec;
	bank->fd = -1;
	if (spec->backing == MEM_ANON)
		rc = map_anon(mem, bank, err);
	else if (spec->backing == MEM_MEMFD || spec->backing == MEM_LAZY)
		rc = map_memfd(mem, bank, err);
	else
		rc = map_hugetlb(mem, bank, err);
	if (rc) {
		if (bank->host)
			munmap(bank->host, spec->size);
		if (bank->fd >= 0)
			close(bank->fd);
		return rc;
	}
	mem->n++;
	*out = bank;
	return 0;
}

/* A reboot finds zeroed memory: pages and tags go back to the host together. The copies of a private mapping's pages stay when the file is emptied, and hide what is in it. */
static int empty_bank(struct mem_bank *bank, struct err *err)
{
	int rc = 0;

	if (bank->fd >= 0)
		rc = fallocate(bank->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			       bank->spec.size);
	if (!rc && !bank->shared)
		rc = madvise(bank->host, bank->spec.size, MADV_DONTNEED);
	return rc < 0 ? err_sys(err, -errno, "%s: cannot empty it for the reboot", bank->spec.name)
		      : 0;
}

static bool same_spec(const struct mem_spec *a, const struct mem_spec *b)
{
	return a->gpa == b->gpa && a->size == b->size && a->backing == b->backing &&
	       a->readonly == b->readonly;
}

/*
 * Before Linux 6.2 KVM takes no shared memory with tags, but a private mapping of the same file. Its pages are copied when
 * they are written to, with their tags. Nobody has touched the mapping yet.
 */
static int make_private(const struct mem *mem, struct mem_bank *bank, struct err *err)
{
	if (mmap(bank->host, bank->spec.size, PROT_READ | PROT_WRITE | mem->tag_prot,
		 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, bank->fd, 0) == MAP_FAILED)
		return err_sys(err, -errno, "%s: cannot map its memory file privately",
			       bank->spec.name);
	bank->shared = false;
	return 0;
}

static int set_slot(struct mem *mem, struct mem_bank *bank, struct err *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = bank - mem->banks,
		.flags = bank->spec.readonly ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = bank->spec.gpa,
		.memory_size = bank->spec.size,
		.userspace_addr = (uintptr_t)bank->host,
	};

	if (ioctl(mem->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) == 0) {
		bank->in_slot = true;
		return 0;
	}
	/* EINVAL on a slot that is fine without tags: what backs it cannot hold them (VM_MTE_ALLOWED). */
	if (errno == EINVAL && mem->slot_tags && bank->spec.backing == MEM_LAZY && bank->shared) {
		int rc = make_private(mem, bank, err);

		return rc ? rc : set_slot(mem, bank, err);
	}
	if (errno == EINVAL && mem->slot_tags && bank->spec.backing == MEM_MEMFD)
		return err_set(
			err, -EINVAL,
			"--mem-backend memfd: this kernel cannot tag shared guest memory (Linux 6.2 and later "
			"can); use --mem-backend anon");
	if (errno == EINVAL && mem->slot_tags && bank->spec.backing == MEM_HUGETLB)
		return err_set(
			err, -EINVAL,
			"--hugetlbfs: this kernel cannot tag huge pages of hugetlbfs (Linux 6.13 and later "
			"can); leave --hugetlbfs out, transparent huge pages carry tags");
	return err_sys(err, -errno, "%s: KVM refuses %llu MiB of memory at 0x%llx", bank->spec.name,
		       (unsigned long long)bank->spec.size >> 20,
		       (unsigned long long)bank->spec.gpa);
}

int mem_add(struct mem *mem, const struct mem_spec *spec, struct err *err)
{
	struct mem_bank *bank = (struct mem_bank *)mem_find(mem, spec->name);
	int rc;

	if (spec->gpa % mem->page_size || spec->size % mem->page_size || !spec->size)
		return err_set(err, -EINVAL,
			       "%s: 0x%llx bytes at 0x%llx are not whole host pages of %zu",
			       spec->name, (unsigned long long)spec->size,
			       (unsigned long long)spec->gpa, mem->page_size);
	if (!bank) {
		rc = map_bank(mem, spec, &bank, err);
	} else if (!same_spec(&bank->spec, spec)) {
		rc = err_set(err, -EEXIST, "%s: a bank of that name is there with another shape",
			     spec->name);
	} else {
		rc = empty_bank(bank, err);
	}
	return rc ? rc : set_slot(mem, bank, err);
}

int mem_seal(struct mem *mem, struct err *err)
{
	for (unsigned int i = 0; i < mem->n; i++) {
		struct mem_bank *bank = &mem->banks[i];

		if (bank->sealed)
			continue;
		if (syscall(SYS_mseal, bank->host, bank->spec.size, 0ul) < 0) {
			if (errno == ENOSYS)
				return 0;
			return err_sys(err, -errno, "%s: mseal", bank->spec.name);
		}
		bank->sealed = true;
	}
	return 1;
}

void *gpa_ptr(struct mem *mem, uint64_t gpa, uint64_t len, enum mem_access access)
{
	for (unsigned int i = 0; i < mem->n; i++) {
		struct mem_bank *bank = &mem->banks[i];
		uint64_t offset = gpa - bank->spec.gpa; /* wraps to a huge number below the bank */

		if (offset < bank->spec.size && len && len <= bank->spec.size - offset) {
			if (access == MEM_WRITE && mem->log)
				mem_log_mark(mem->log, i, offset, len, mem->page_size);
			return bank->host + offset;
		}
	}
	return NULL;
}

const struct mem_bank *mem_find(const struct mem *mem, const char *name)
{
	for (unsigned int i = 0; i < mem->n; i++)
		if (!strcmp(mem->banks[i].spec.name, name))
			return &mem->banks[i];
	return NULL;
}

bool mem_is_private(const struct mem *mem)
{
	for (unsigned int i = 0; i < mem->n; i++)
		if (mem->banks[i].shared)
			return false;
	return true;
}

bool mem_has_file(const struct mem *mem)
{
	for (unsigned int i = 0; i < mem->n; i++)
		if (mem->banks[i].fd >= 0)
			return true;
	return false;
}

int mem_presence(const struct mem *mem, const struct mem_bank *bank, struct presence *presence,
		 struct err *err)
{
	enum presence_source source = PRESENCE_PAGEMAP;
	int rc;

	if (bank->spec.backing == MEM_MEMFD || bank->spec.backing == MEM_LAZY)
		source = bank->shared ? PRESENCE_FILE : PRESENCE_BOTH;
	rc = presence_init(presence, source, bank->host, bank->spec.size, bank->fd, 0, err);
	if (rc || source != PRESENCE_PAGEMAP || !bank->shared || mem->pagemap < 0)
		return rc;
	rc = presence_ask(presence, mem->pagemap, err);
	if (rc)
		presence_release(presence);
	return rc;
}

int mem_before_fork(struct mem *mem, struct err *err)
{
	mem->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	return mem->pagemap < 0 ? err_sys(err, -errno, "/proc/self/pagemap") : 0;
}

void mem_after_fork(struct mem *mem)
{
	if (mem->pagemap >= 0)
		close(mem->pagemap);
	mem->pagemap = -1;
}

bool mem_host_to_gpa(const struct mem *mem, const void *host, uint64_t *gpa)
{
	for (unsigned int i = 0; i < mem->n; i++) {
		const struct mem_bank *bank = &mem->banks[i];
		uint64_t offset = (uintptr_t)host - (uintptr_t)bank->host;

		if (offset >= bank->spec.size && bank->fill)
			offset = (uintptr_t)host - (uintptr_t)bank->fill;
		if (offset < bank->spec.size) {
			*gpa = bank->spec.gpa + offset;
			return true;
		}
	}
	return false;
}
