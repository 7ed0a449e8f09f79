/* SPDX-License-Identifier: GPL-2.0-only */
#include "arm/tags.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "arm/mte-insn.h"
#include "arm/tags-ways.h"

#ifndef HWCAP2_MTE /* asm/hwcap.h */
#define HWCAP2_MTE (1 << 18)
#endif

int tags_init(struct tag_walker *w, enum tag_way way, int vm_fd, struct err *err)
{
	long page = sysconf(_SC_PAGESIZE);

	memset(w, 0, sizeof(*w));
	if (page <= 0 || !tagcode_page_ok(page))
		return err_set(err, -EINVAL, "memory tags: pages of %ld bytes are not known here",
			       page);
	if (!(getauxval(AT_HWCAP2) & HWCAP2_MTE))
		return err_set(err, -ENODEV, "memory tags: this host has no MTE");
	if (way == TAG_WAY_IOCTL && vm_fd < 0)
		return err_set(err, -EINVAL, "memory tags: no VM to ask for them");
	w->way = way;
	w->page = page;
	w->dc_block = mte_dc_block(mte_dczid(), w->page);
	w->vm_fd = way == TAG_WAY_IOCTL ? vm_fd : -1;
	return 0;
}

static inline bool in_area(const struct tag_walker *w, const struct tag_area *a, uint64_t off,
			   uint64_t len)
{
	return !((off | len) & (w->page - 1)) && off <= a->size && len <= a->size - off;
}

static __attribute__((noinline, cold)) int bad_range(const struct tag_area *a, uint64_t off,
						     uint64_t len, struct err *err)
{
	return err_set(err, -EINVAL,
		       "memory tags: 0x%llx bytes at 0x%llx are not whole pages of an area of "
		       "0x%llx",
		       (unsigned long long)len, (unsigned long long)off,
		       (unsigned long long)a->size);
}

int tags_read(const struct tag_walker *w, const struct tag_area *a, uint64_t off, uint64_t len,
	      uint8_t *packed, struct err *err)
{
	if (!in_area(w, a, off, len))
		return bad_range(a, off, len, err);
	if (w->way == TAG_WAY_IOCTL)
		return ioctl_read(w->vm_fd, a->gpa + off, len, packed, err);
	return ldg_read(a->base + off, len, packed);
}

int tags_write(const struct tag_walker *w, const struct tag_area *a, uint64_t off, uint64_t len,
	       const uint8_t *packed, struct err *err)
{
	if (!in_area(w, a, off, len))
		return bad_range(a, off, len, err);
	if (w->way == TAG_WAY_IOCTL)
		return ioctl_write(w->vm_fd, a->gpa + off, len, packed, err);
	return ldg_write(a->base + off, len, packed);
}

int tags_fill(const struct tag_walker *w, const struct tag_area *a, uint64_t off, uint64_t len,
	      unsigned int tag, struct err *err)
{
	if (!in_area(w, a, off, len))
		return bad_range(a, off, len, err);
	if (w->way == TAG_WAY_IOCTL)
		return ioctl_fill(w->vm_fd, a->gpa + off, len, tag, err);
	return len ? ldg_fill(a->base + off, len, tag, w->dc_block) : 0;
}

int tags_clear(const struct tag_walker *w, const struct tag_area *a, uint64_t off, uint64_t len,
	       unsigned int tag, struct err *err)
{
	if (!in_area(w, a, off, len))
		return bad_range(a, off, len, err);
	if (w->way == TAG_WAY_IOCTL) {
		memset(a->base + off, 0, len);
		return ioctl_fill(w->vm_fd, a->gpa + off, len, tag, err);
	}
	return len ? ldg_clear(a->base + off, len, tag, w->dc_block) : 0;
}

/* By the way through KVM, which knows packed tags only. */
static int ioctl_put(const struct tag_walker *w, uint64_t gpa, const struct tag_shape *shape,
		     const uint8_t *packed, struct err *err)
{
	uint8_t expanded[TAGCODE_PACKED_MAX];

	if (shape->class == TAGS_UNIFORM)
		return ioctl_fill(w->vm_fd, gpa, w->page, shape->tag, err);
	if (shape->class == TAGS_RUNS) {
		tagcode_expand(shape, w->page, expanded);
		packed = expanded;
	}
	return ioctl_write(w->vm_fd, gpa, w->page, packed, err);
}

int tags_put(const struct tag_walker *w, const struct tag_area *a, uint64_t off,
	     const struct tag_shape *shape, const uint8_t *packed, struct err *err)
{
	if (off & (w->page - 1) || off > a->size || a->size - off < w->page)
		return bad_range(a, off, w->page, err);
	if (w->way == TAG_WAY_IOCTL)
		return ioctl_put(w, a->gpa + off, shape, packed, err);
	if (shape->class == TAGS_UNIFORM)
		return ldg_fill(a->base + off, w->page, shape->tag, w->dc_block);
	if (shape->class == TAGS_RUNS)
		return ldg_write_runs(a->base + off, shape, w->dc_block);
	return ldg_write(a->base + off, w->page, packed);
}
