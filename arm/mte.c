/* SPDX-License-Identifier: GPL-2.0-only */
#include "arm/mte.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arm/mte-insn.h"

#ifndef PROT_MTE /* asm/mman.h of arm64 */
#define PROT_MTE 0x20
#endif
#ifndef HWCAP2_MTE /* asm/hwcap.h */
#define HWCAP2_MTE (1 << 18)
#endif
#ifndef KVM_CAP_ARM_MTE
#define KVM_CAP_ARM_MTE 205
#endif

int mte_prot(void)
{
	return PROT_MTE;
}

/*
 * A tag written is a tag read, and every granule of a page has its own. The emulator that gets this wrong (QEMU 7)
 * drops the offset within the page, so all granules share the tag that was written last.
 */
static int check_tags_hold(struct err *err)
{
	size_t page = sysconf(_SC_PAGESIZE);
	unsigned int wrong = 0;
	uint8_t *p;

	p = mmap(NULL, page, PROT_READ | PROT_WRITE | PROT_MTE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return err_sys(err, -errno, "--mte: no memory with tags");
	for (size_t i = 0; i < page / MTE_GRANULE; i++)
		mte_store_tag(p + i * MTE_GRANULE, i & 15);
	for (size_t i = 0; i < page / MTE_GRANULE; i++)
		wrong += mte_load_tag(p + i * MTE_GRANULE) != (i & 15);
	munmap(p, page);
	if (wrong)
		return err_set(
			err, -EIO,
			"--mte: memory tags do not hold on this machine (%u of %zu granules of a page read back "
			"wrong); QEMU before version 8 emulates them like this: use 8.0 or later",
			wrong, page / MTE_GRANULE);
	return 0;
}

int mte_check_host(int kvm_fd, struct err *err)
{
	if (!(getauxval(AT_HWCAP2) & HWCAP2_MTE))
		return err_set(
			err, -ENODEV,
			"--mte: this host's CPU has no MTE, or its kernel does not use it (see \"mte\" in "
			"/proc/cpuinfo, CONFIG_ARM64_MTE); run without --mte");
	if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_MTE) <= 0)
		return err_set(
			err, -ENODEV,
			"--mte: this kernel's KVM cannot give MTE to a guest (Linux 5.14 or later can); run "
			"without --mte");
	return check_tags_hold(err);
}

int mte_enable(int vm_fd, struct err *err)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_ARM_MTE};

	if (ioctl(vm_fd, KVM_ENABLE_CAP, &cap) < 0)
		return err_sys(err, -errno, "--mte: KVM refuses MTE for this VM");
	return 0;
}

static int get_tags(void *ctx, uint8_t *host, uint64_t gpa, uint64_t len, uint8_t *out,
		    struct err *err)
{
	const struct tag_area area = {.base = host, .gpa = gpa, .size = len};
	const struct mte_tags *tags = ctx;

	return tags_read(&tags->walker, &area, 0, len, out, err);
}

static bool is_readonly(const struct mem *mem, uint64_t gpa)
{
	for (unsigned int i = 0; i < mem->n; i++)
		if (gpa - mem->banks[i].spec.gpa < mem->banks[i].spec.size)
			return mem->banks[i].spec.readonly;
	return false;
}

static int put_tags(void *ctx, uint8_t *host, uint64_t gpa, uint64_t len, const uint8_t *in,
		    struct err *err)
{
	const struct tag_area area = {.base = host, .gpa = gpa, .size = len};
	const struct mte_tags *tags = ctx;
	struct tag_walker walker = tags->walker;

	if (is_readonly(tags->mem, gpa))
		walker.way = TAG_WAY_LDG;
	return tags_write(&walker, &area, 0, len, in, err);
}

int mte_sidecar(struct mte_tags *tags, enum tag_way way, const struct mem *mem, struct err *err)
{
	tags->sidecar = (struct mem_sidecar){.get = get_tags, .put = put_tags, .ctx = tags};
	tags->mem = mem;
	return tags_init(&tags->walker, way, mem->vm_fd, err);
}
