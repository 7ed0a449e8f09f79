/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tag engine: reads and writes the memory tags of guest pages, in either of two ways that give the same bytes.
 *   TAG_WAY_LDG    LDG and the STG family on our own PROT_MTE mapping (Arm ARM D10, C6.2)
 *   TAG_WAY_IOCTL  KVM_ARM_MTE_COPY_TAGS (Documentation/virt/kvm/api.rst), by guest address
 *
 * Units: offsets and lengths are bytes of memory, whole host pages (4, 16 or 64 KiB). Packed tags are those of
 * state/tagcode.h: two granules a byte, the lower in the low nibble, 1/32 of the memory's length.
 *
 * Data is never changed but by tags_clear(); tags outside the range never.
 *
 * An absent page gets memory when it is looked at: functions over regions take a struct presence (vm/presence.h) and
 * leave such pages alone; the others do as they are told.
 *
 * Nothing that is written here shows in KVM's dirty log: the caller marks its own pages, as with any store of ours.
 * With TAG_WAY_LDG, a page that the host took away gives SIGBUS, as any access does (vm/fault.h).
 *
 * Errors: -EINVAL for a range that is not whole pages of the area; with TAG_WAY_IOCTL what the kernel says:
 * -EBUSY writing while a slot has dirty logging (6.12 and later), -EFAULT where no slot is, or a read-only one is
 * written. What was done up to there stays done.
 */
#ifndef LKVM_ARM_TAGS_H
#define LKVM_ARM_TAGS_H

#include <stddef.h>
#include <stdint.h>

#include "state/tagcode.h"
#include "util/err.h"
#include "vm/presence.h"

enum tag_way { TAG_WAY_LDG, TAG_WAY_IOCTL };

/* Constant after tags_init(): threads share one. */
struct tag_walker {
	enum tag_way way;
	size_t page;	 /* the host's */
	size_t dc_block; /* bytes a DC GVA sets, no more than a page; 0: not to be used */
	int vm_fd;	 /* the caller's; TAG_WAY_IOCTL */
};

/* The same memory as we map it and as the guest addresses it: one bank, or a part. */
struct tag_area {
	uint8_t *base; /* page-aligned, PROT_MTE; with TAG_WAY_IOCTL tags_clear() alone uses it */
	uint64_t gpa;  /* page-aligned; TAG_WAY_LDG does not use it */
	uint64_t size;
};

/* -ENODEV when this host has no MTE; -EINVAL for another page size or TAG_WAY_IOCTL without @vm_fd. */
int tags_init(struct tag_walker *w, enum tag_way way, int vm_fd, struct err *err);

/* The tags of @len bytes at @off into @packed: @len / 32 bytes. */
int tags_read(const struct tag_walker *w, const struct tag_area *a, uint64_t off, uint64_t len,
	      uint8_t *packed, struct err *err);

/* The reverse. */
int tags_write(const struct tag_walker *w, const struct tag_area *a, uint64_t off, uint64_t len,
	       const uint8_t *packed, struct err *err);

/* One tag throughout. */
int tags_fill(const struct tag_walker *w, const struct tag_area *a, uint64_t off, uint64_t len,
	      unsigned int tag, struct err *err);

/* The same, and the data becomes zero. */
int tags_clear(const struct tag_walker *w, const struct tag_area *a, uint64_t off, uint64_t len,
	       unsigned int tag, struct err *err);

/* One page, from what tagcode_classify() or tagcode_decode() gave. @packed counts for TAGS_PACKED only. */
int tags_put(const struct tag_walker *w, const struct tag_area *a, uint64_t off,
	     const struct tag_shape *shape, const uint8_t *packed, struct err *err);

/* --- whole areas, by several threads (util/share.h; arm/tags-threads.c) --- */

/*
 * The whole area into @packed (a->size / 32 bytes). Pages that @present says are absent read as zero tags; NULL: none
 * is absent. @present describes the same memory as @a.
 */
int tags_read_area(const struct tag_walker *w, const struct tag_area *a,
		   const struct presence *present, unsigned int threads, uint8_t *packed,
		   struct err *err);

/* The reverse. A page that is absent and is to have zero tags has them, and stays absent. */
int tags_write_area(const struct tag_walker *w, const struct tag_area *a,
		    const struct presence *present, unsigned int threads, const uint8_t *packed,
		    struct err *err);

#endif
