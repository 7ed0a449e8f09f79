/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tags through KVM_ARM_MTE_COPY_TAGS: Documentation/virt/kvm/api.rst. One byte a granule there, two granules a byte
 * here. 64 KiB of memory a call: the kernel holds the lock of the slots meanwhile, and larger calls are not much
 * cheaper.
 */
#include <arm_neon.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "arm/tags-ways.h"

#define CALL_BYTES    65536 /* a multiple of each page size */
#define CALL_GRANULES (CALL_BYTES / TAGCODE_GRANULE)

/* 32 granules at a time; @granules is that of whole pages. */
static void pack(const uint8_t *tags, size_t granules, uint8_t *packed)
{
	for (size_t i = 0; i < granules; i += 32) {
		uint8x16x2_t t = vld2q_u8(tags + i); /* even and odd granules apart */

		vst1q_u8(packed + i / 2, vsliq_n_u8(t.val[0], t.val[1], 4));
	}
}

static void unpack(const uint8_t *packed, size_t granules, uint8_t *tags)
{
	for (size_t i = 0; i < granules; i += 32) {
		uint8x16_t p = vld1q_u8(packed + i / 2);
		uint8x16x2_t t = {{vandq_u8(p, vdupq_n_u8(15)), vshrq_n_u8(p, 4)}};

		vst2q_u8(tags + i, t);
	}
}

/* All of it, or an error: the ioctl may return short, with the bytes of memory that it did. */
static int copy_tags(int vm_fd, uint64_t gpa, uint64_t len, uint8_t *tags, uint64_t dir,
		     struct err *err)
{
	const char *what = dir == KVM_ARM_TAGS_FROM_GUEST ? "read" : "write";

	while (len) {
		struct kvm_arm_copy_mte_tags arg = {
			.guest_ipa = gpa,
			.length = len,
			.addr = tags,
			.flags = dir,
		};
		long done = ioctl(vm_fd, KVM_ARM_MTE_COPY_TAGS, &arg);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && errno == EBUSY)
			return err_set(
				err, -EBUSY,
				"this kernel writes no tags through KVM while dirty pages are "
				"logged; use --tag-walker ldg");
		if (done < 0)
			return err_sys(err, -errno,
				       "KVM cannot %s the tags of guest memory at 0x%llx", what,
				       (unsigned long long)gpa);
		if (!done || (uint64_t)done > len || done % TAGCODE_GRANULE)
			return err_set(
				err, -EIO,
				"KVM says it did %ld of 0x%llx bytes when asked to %s the tags "
				"of guest memory at 0x%llx",
				done, (unsigned long long)len, what, (unsigned long long)gpa);
		gpa += done;
		len -= done;
		tags += done / TAGCODE_GRANULE;
	}
	return 0;
}

int ioctl_read(int vm_fd, uint64_t gpa, uint64_t len, uint8_t *packed, struct err *err)
{
	uint8_t tags[CALL_GRANULES];

	while (len) {
		size_t n = len < CALL_BYTES ? len : CALL_BYTES;
		int rc = copy_tags(vm_fd, gpa, n, tags, KVM_ARM_TAGS_FROM_GUEST, err);

		if (rc)
			return rc;
		pack(tags, n / TAGCODE_GRANULE, packed);
		packed += tagcode_packed_size(n);
		gpa += n;
		len -= n;
	}
	return 0;
}

int ioctl_write(int vm_fd, uint64_t gpa, uint64_t len, const uint8_t *packed, struct err *err)
{
	uint8_t tags[CALL_GRANULES];

	while (len) {
		size_t n = len < CALL_BYTES ? len : CALL_BYTES;
		int rc;

		unpack(packed, n / TAGCODE_GRANULE, tags);
		rc = copy_tags(vm_fd, gpa, n, tags, KVM_ARM_TAGS_TO_GUEST, err);
		if (rc)
			return rc;
		packed += tagcode_packed_size(n);
		gpa += n;
		len -= n;
	}
	return 0;
}

int ioctl_fill(int vm_fd, uint64_t gpa, uint64_t len, unsigned int tag, struct err *err)
{
	uint8_t tags[CALL_GRANULES];

	memset(tags, tag & 15, len < CALL_BYTES ? len / TAGCODE_GRANULE : CALL_GRANULES);
	while (len) {
		size_t n = len < CALL_BYTES ? len : CALL_BYTES;
		int rc = copy_tags(vm_fd, gpa, n, tags, KVM_ARM_TAGS_TO_GUEST, err);

		if (rc)
			return rc;
		gpa += n;
		len -= n;
	}
	return 0;
}
