/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The way through KVM, with an ioctl() in front of the real one (linked with --wrap=ioctl) that does what
 * Documentation/virt/kvm/api.rst says of KVM_ARM_MTE_COPY_TAGS, and what a kernel rarely does: short counts, signals,
 * nonsense. The real one is in tests/system/tagwalk.c.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../../tagpattern.h"
#include "../../../tap.h"
#include "arm/mte-insn.h"
#include "arm/tags.h"

#ifndef PROT_MTE
#define PROT_MTE 0x20
#endif
#ifndef HWCAP2_MTE
#define HWCAP2_MTE (1 << 18)
#endif

#define GPA   0x40000000ull
#define PAGES 50 /* more than a call does */

enum mode { WHOLE, SHORT, SIGNALS, BUSY, NOTHING, TOO_MUCH, HALF_A_GRANULE };

/* The VM: the content of the file whose descriptor the engine takes for a VM's. */
struct fake {
	uint8_t *base;
	uint64_t size, page;
	enum mode mode;
	unsigned int calls, wrong;
};

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

static long copy(const struct fake *f, const struct kvm_arm_copy_mte_tags *arg)
{
	uint64_t len = arg->length, off = arg->guest_ipa - GPA;
	uint8_t *tags = arg->addr;

	if (f->mode == SHORT && len > 2 * f->page)
		len = 2 * f->page;
	if (off >= f->size) {
		errno = EFAULT;
		return -1;
	}
	if (len > f->size - off)
		len = f->size - off;
	for (uint64_t i = 0; i < len / MTE_GRANULE; i++) {
		uint8_t *granule = f->base + off + i * MTE_GRANULE;

		if (arg->flags == KVM_ARM_TAGS_FROM_GUEST)
			tags[i] = mte_load_tag(granule);
		else
			mte_store_tag(granule, tags[i]);
	}
	return len;
}

int __wrap_ioctl(int fd, unsigned long request, void *p)
{
	struct kvm_arm_copy_mte_tags *arg = p;
	struct fake f;
	long rc;

	if (request != KVM_ARM_MTE_COPY_TAGS)
		return __real_ioctl(fd, request, p);
	if (pread(fd, &f, sizeof(f), 0) != sizeof(f))
		abort();
	f.calls++;
	f.wrong += arg->guest_ipa % f.page || arg->length % f.page || !arg->length ||
		   arg->flags > 1 || arg->reserved[0] || arg->reserved[1];
	if (f.mode == BUSY || (f.mode == SIGNALS && f.calls % 3)) {
		errno = f.mode == BUSY ? EBUSY : EINTR;
		rc = -1;
	} else {
		rc = f.mode == NOTHING		? 0
		     : f.mode == TOO_MUCH	? (long)(arg->length + f.page)
		     : f.mode == HALF_A_GRANULE ? 8
						: copy(&f, arg);
	}
	if (pwrite(fd, &f, sizeof(f), 0) != sizeof(f))
		abort();
	return rc;
}

struct rig {
	struct tap tap;
	struct tag_walker w, ldg;
	struct tag_area area;
	size_t bytes;
	uint64_t seed;
	uint8_t *want, *got;
};

static struct fake *set_mode(const struct rig *r, enum mode mode, struct fake *f)
{
	*f = (struct fake){.base = r->area.base, .size = r->area.size, .page = r->w.page};
	f->mode = mode;
	if (pwrite(r->w.vm_fd, f, sizeof(*f), 0) != sizeof(*f))
		abort();
	return f;
}

static bool same_by_ldg(struct rig *r)
{
	return !tags_read(&r->ldg, &r->area, 0, r->area.size, r->got, NULL) &&
	       !memcmp(r->got, r->want, r->bytes);
}

static void works(struct rig *r, enum mode mode, const char *how)
{
	struct fake f;

	set_mode(r, mode, &f);
	for (enum pattern p = 0; p < PATTERNS; p++) {
		bool ok;

		pattern_make(p, r->area.size, &r->seed, r->want);
		ok = !tags_write(&r->w, &r->area, 0, r->area.size, r->want, NULL);
		ok &= same_by_ldg(r);
		memset(r->got, 0xee, r->bytes);
		ok &= !tags_read(&r->w, &r->area, 0, r->area.size, r->got, NULL);
		ok &= !memcmp(r->got, r->want, r->bytes);
		tap_ok(&r->tap, ok, "%s tags there and back, %s", pattern_name(p), how);
	}
	memset(r->want + r->bytes / 2, 0xbb, r->bytes / 2);
	tap_ok(&r->tap,
	       !tags_fill(&r->w, &r->area, r->area.size / 2, r->area.size / 2, 11, NULL) &&
		       same_by_ldg(r),
	       "fill, %s", how);
	if (pread(r->w.vm_fd, &f, sizeof(f), 0) != sizeof(f))
		abort();
	tap_ok(&r->tap, f.calls > 0 && !f.wrong, "%u well-formed calls, %s", f.calls, how);
}

static void fails(struct rig *r, enum mode mode, int code, const char *words)
{
	struct err err = ERR_INIT;
	struct fake f;
	int rc;

	set_mode(r, mode, &f);
	rc = tags_write(&r->w, &r->area, 0, r->area.size, r->want, &err);
	tap_ok(&r->tap, rc == code && strstr(err.msg, words), "write: %d %s", rc, err.msg);
	err.msg[0] = '\0';
	rc = tags_read(&r->w, &r->area, 0, r->area.size, r->got, &err);
	tap_ok(&r->tap, rc == code && strstr(err.msg, words), "read: %d %s", rc, err.msg);
	rc = tags_clear(&r->w, &r->area, 0, r->area.size, 1, &err);
	tap_ok(&r->tap, rc == code, "clear: %d %s", rc, err.msg);
}

int main(void)
{
	struct rig r = {.seed = 4711};
	struct err err = ERR_INIT;
	struct fake f;
	int vm = memfd_create("vm", MFD_CLOEXEC);

	if (!(getauxval(AT_HWCAP2) & HWCAP2_MTE))
		return tap_skip_all("this machine has no MTE");
	if (!tap_ok(&r.tap,
		    !tags_init(&r.ldg, TAG_WAY_LDG, -1, &err) &&
			    !tags_init(&r.w, TAG_WAY_IOCTL, vm, &err),
		    "the walkers are made: %s", err.msg[0] ? err.msg : "no error"))
		return tap_end(&r.tap);
	r.area = (struct tag_area){.gpa = GPA, .size = PAGES * r.w.page};
	r.area.base = mmap(NULL, r.area.size, PROT_READ | PROT_WRITE | PROT_MTE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r.area.base == MAP_FAILED) {
		perror("mmap with PROT_MTE");
		return 1;
	}
	r.bytes = tagcode_packed_size(r.area.size);
	r.want = malloc(r.bytes);
	r.got = malloc(r.bytes);

	works(&r, WHOLE, "whole");
	works(&r, SHORT, "in short counts");
	works(&r, SIGNALS, "through signals");
	fails(&r, BUSY, -EBUSY, "--tag-walker ldg");
	fails(&r, NOTHING, -EIO, "did 0 of");
	fails(&r, TOO_MUCH, -EIO, "of 0x10000 bytes");
	fails(&r, HALF_A_GRANULE, -EIO, "did 8 of");
	/* No memory behind the last page but one. */
	set_mode(&r, WHOLE, &f)->size -= r.w.page;
	if (pwrite(vm, &f, sizeof(f), 0) != sizeof(f))
		abort();
	err.msg[0] = '\0';
	tap_ok(&r.tap, tags_read(&r.w, &r.area, 0, r.area.size, r.got, &err) == -EFAULT,
	       "a hole: %s", err.msg);
	return tap_end(&r.tap);
}
